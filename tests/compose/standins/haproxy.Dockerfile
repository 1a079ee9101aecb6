# Stands in for haproxy: Debian's, and the wget of Busybox that the image's Alpine has.
FROM laurels-standin-base
RUN ln -s /bin/busybox /usr/local/bin/wget && mkdir -p /usr/local/etc/haproxy
USER haproxy
STOPSIGNAL SIGUSR1
CMD ["haproxy", "-W", "-db", "-f", "/usr/local/etc/haproxy/haproxy.cfg"]
