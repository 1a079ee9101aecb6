FROM python:3.13-slim
WORKDIR /app
COPY requirements.lock .
RUN pip install --no-cache-dir --require-hashes --no-deps -r requirements.lock
COPY . .
RUN pip install --no-cache-dir --no-deps --no-build-isolation -e . \
    && useradd --system laurels && mkdir /exports && chown laurels /exports
USER laurels
EXPOSE 8000
ENV LAURELS_HOST=0.0.0.0
CMD ["python", "-m", "command_api"]
