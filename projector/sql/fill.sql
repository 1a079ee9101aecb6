INSERT INTO batch
:decoded
