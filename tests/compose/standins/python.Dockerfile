# Stands in for python:3.13-slim: Debian's Python, under the names that the image has.
FROM laurels-standin-base
RUN python3 -m venv /opt/python
ENV PATH=/opt/python/bin:$PATH
CMD ["python"]
