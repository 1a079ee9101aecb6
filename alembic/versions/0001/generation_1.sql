-- A new database starts with the read models of this version; `laurels rebuild` brings later ones.
INSERT INTO generations (generation, state, version) VALUES (1, 'live', 9);
INSERT INTO progress (generation, partition)
SELECT 1, partition FROM log_head, generate_series(0, cardinality(partition_positions) - 1) AS partition;

-- The projectors' role owns them, as it owns those that it makes.
SET LOCAL ROLE laurels_projector;
CREATE SCHEMA generation_1;
GRANT USAGE ON SCHEMA generation_1 TO laurels_query;
ALTER DEFAULT PRIVILEGES IN SCHEMA generation_1 GRANT SELECT ON TABLES TO laurels_query;

CREATE TABLE generation_1.achievement_texts (
    achievement_id bigint NOT NULL,
    language text NOT NULL,
    name text NOT NULL,
    description text NOT NULL,
    PRIMARY KEY (achievement_id, language)
);

CREATE TABLE generation_1.achievements (
    achievement_id bigint NOT NULL,
    achievement_language text NOT NULL,
    achievement_point integer NOT NULL,
    repeatable boolean NOT NULL,
    created_at timestamptz NOT NULL,
    updated_at timestamptz NOT NULL,
    PRIMARY KEY (achievement_id)
);

CREATE TABLE generation_1.count_levels (
    total_achievements bigint NOT NULL,
    users bigint NOT NULL,
    PRIMARY KEY (total_achievements)
) WITH (fillfactor = 50);
COMMENT ON TABLE generation_1.count_levels IS 'How many users have so many achievements; 0 counts those without any.';

CREATE TABLE generation_1.incomplete_users (
    user_id bigint NOT NULL,
    PRIMARY KEY (user_id)
);

CREATE TABLE generation_1.points_levels (
    total_points bigint NOT NULL,
    users bigint NOT NULL,
    gap_below bigint,
    PRIMARY KEY (total_points)
) WITH (fillfactor = 50);
COMMENT ON TABLE generation_1.points_levels IS 'Over users who hold at least one award. gap_below is null on the lowest level.';

CREATE TABLE generation_1.user_awards (
    user_id bigint NOT NULL,
    awarded_at timestamptz NOT NULL,
    award_id bigint NOT NULL,
    achievement_id bigint NOT NULL,
    points integer NOT NULL,
    local_day date NOT NULL,
    recorded_at timestamptz NOT NULL,
    PRIMARY KEY (user_id, awarded_at, award_id)
);

CREATE TABLE generation_1.user_streaks (
    user_id bigint NOT NULL,
    days datemultirange NOT NULL,
    streak_days integer NOT NULL,
    streak_started_on date NOT NULL,
    latest_days integer NOT NULL,
    latest_ended_on date NOT NULL,
    PRIMARY KEY (user_id)
) WITH (fillfactor = 80);
COMMENT ON TABLE generation_1.user_streaks IS 'streak_*: the longest run, the earliest of equals. latest_*: the last run.';

CREATE TABLE generation_1.user_totals (
    user_id bigint NOT NULL,
    total_achievements bigint NOT NULL,
    total_points bigint NOT NULL,
    created_position bigint NOT NULL,
    count_position bigint NOT NULL,
    points_position bigint NOT NULL,
    PRIMARY KEY (user_id)
) WITH (fillfactor = 80);

CREATE TABLE generation_1.users (
    user_id bigint NOT NULL,
    username text NOT NULL,
    username_key text NOT NULL,
    user_language text NOT NULL,
    user_timezone text NOT NULL,
    created_at timestamptz NOT NULL,
    updated_at timestamptz NOT NULL,
    updated_position bigint NOT NULL,
    PRIMARY KEY (user_id)
);

CREATE INDEX gaps ON generation_1.points_levels (gap_below, total_points DESC);
CREATE INDEX shared_levels ON generation_1.points_levels (total_points) WHERE users > 1;
CREATE INDEX latest_streaks ON generation_1.user_streaks (latest_ended_on, latest_days DESC, user_id);
CREATE INDEX streak_ranking ON generation_1.user_streaks (streak_days DESC, user_id);
CREATE INDEX count_ranking ON generation_1.user_totals (total_achievements, count_position, user_id);
CREATE INDEX points_ranking ON generation_1.user_totals (total_points, points_position, user_id) WHERE total_achievements > 0;
CREATE INDEX users_by_name ON generation_1.users (username_key, updated_position DESC);

RESET ROLE;
