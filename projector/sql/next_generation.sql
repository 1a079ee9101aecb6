-- A number is never used twice: readers remember by it what they have prepared.
SELECT greatest((SELECT max(generation) FROM generations), (SELECT max(generation) FROM rebuilds)) + 1
