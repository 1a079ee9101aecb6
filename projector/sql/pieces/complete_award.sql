-- Incomplete awards violate this and are quarantined.
CHECK (type NOT IN ('achievement-awarded', 'award-revoked') OR (
    user_id IS NOT NULL AND award_id IS NOT NULL AND achievement_id IS NOT NULL AND points IS NOT NULL
    AND awarded_at IS NOT NULL AND local_day IS NOT NULL))
