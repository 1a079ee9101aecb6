INSERT INTO write_model.revocations (award_id)
SELECT (data ->> 'award_id')::bigint FROM facts WHERE type = 'award-revoked'
