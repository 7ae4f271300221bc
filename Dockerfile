# One image for all of Dagster's parts (webserver, daemon, code location) and for the command line. See docker-compose.yaml.

FROM python:3.12-slim-bookworm AS build
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1
RUN python -m venv /opt/venv
WORKDIR /build
# The lock alone first: this layer is rebuilt only when a dependency changes.
COPY requirements/runtime.txt requirements/runtime.txt
RUN /opt/venv/bin/pip install --require-hashes -r requirements/runtime.txt
COPY pyproject.toml README.md LICENSE ./
COPY etl_platform etl_platform
RUN /opt/venv/bin/pip install --no-deps --no-build-isolation .

FROM python:3.12-slim-bookworm
ENV PATH=/opt/venv/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    DAGSTER_HOME=/opt/dagster \
    ETL_HOME=/var/lib/etl-platform
RUN useradd --system --uid 10001 --home-dir /opt/dagster etl \
    && install --directory --owner etl /opt/dagster /var/lib/etl-platform
COPY --from=build /opt/venv /opt/venv
COPY --chown=etl deploy/dagster-postgres.yaml /opt/dagster/dagster.yaml
COPY --chown=etl deploy/workspace.yaml /opt/dagster/workspace.yaml
WORKDIR /opt/dagster
USER 10001
VOLUME /var/lib/etl-platform
EXPOSE 3000 4000
# For the default command; docker-compose.yaml has the check of each other part.
HEALTHCHECK --interval=15s --timeout=5s --start-period=60s --retries=4 \
    CMD ["python", "-c", "import urllib.request; urllib.request.urlopen('http://127.0.0.1:3000/server_info', timeout=4)"]
CMD ["dagster-webserver", "--host", "0.0.0.0", "--port", "3000", "--workspace", "/opt/dagster/workspace.yaml"]
