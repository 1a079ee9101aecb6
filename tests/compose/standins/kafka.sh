# Turns KAFKA_SOME_NAME=value into some.name=value, as the image does, formats the storage if it is new, and serves.
set -eu
properties=/tmp/server.properties
env | sed -n 's/^KAFKA_//p' | while IFS='=' read -r name value; do
    echo "$(tr '[:upper:]_' '[:lower:].' <<< "$name")=$value"
done > "$properties"
run() { exec java -Xmx512m -XX:+UseSerialGC -XX:TieredStopAtLevel=1 -cp '/opt/kafka/libs/*' "$@"; }
(run kafka.tools.StorageTool format --ignore-formatted --cluster-id bGF1cmVscy1pbi10ZXN0cw --config "$properties")
run kafka.Kafka "$properties"
