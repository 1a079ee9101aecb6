# Stands in for apache/kafka: the jars that the other tests run, started as the image starts them.
FROM laurels-standin-base
COPY jars /opt/kafka/libs
COPY kafka.sh /start
RUN useradd appuser && mkdir -p /etc/kafka/secrets /mnt/shared/config /var/lib/kafka/data && chown appuser /var/lib/kafka/data
VOLUME /etc/kafka/secrets /mnt/shared/config /var/lib/kafka/data
USER appuser
CMD ["bash", "/start"]
