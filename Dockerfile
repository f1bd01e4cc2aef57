# Build stage: the wheel, and the run-time part of the lock in an environment of its own.
FROM python:3.11-slim-bookworm AS build
RUN apt-get update && apt-get install -y --no-install-recommends gcc libc6-dev \
 && rm -rf /var/lib/apt/lists/*
WORKDIR /src
COPY requirements.lock pyproject.toml README.md LICENSE ./
RUN python -m venv /build \
 && /build/bin/pip install --no-cache-dir --require-hashes -r requirements.lock \
 && /build/bin/uv pip compile -q --constraint requirements.lock --generate-hashes \
      -o runtime.txt pyproject.toml \
 && python -m venv --without-pip /opt/gate \
 && /build/bin/uv pip install --no-cache --compile-bytecode --python /opt/gate --require-hashes -r runtime.txt
COPY hatch_build.py ./
COPY gate ./gate
RUN NATIVE_BUILD=require /build/bin/python -m hatchling build -t wheel -d dist \
 && /build/bin/uv pip install --no-cache --compile-bytecode --python /opt/gate --no-deps dist/*.whl

FROM python:3.11-slim-bookworm
LABEL org.opencontainers.image.title="gate" \
      org.opencontainers.image.description="Edge enforcement proxy for ICP filings" \
      org.opencontainers.image.licenses="Apache-2.0"
# What `gate intercept` prints is for these.
RUN apt-get update && apt-get install -y --no-install-recommends iproute2 nftables \
 && rm -rf /var/lib/apt/lists/*
RUN groupadd --system --gid 10001 gate \
 && useradd --system --uid 10001 --gid gate --home-dir /var/lib/gate --create-home \
      --shell /usr/sbin/nologin gate
COPY --from=build /opt/gate /opt/gate
COPY config/container.yaml /etc/gate/gate.yaml
ENV PATH=/opt/gate/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    GATE_CONFIG=/etc/gate/gate.yaml \
    GATE_STATE_DIR=/var/lib/gate
USER 10001:10001
WORKDIR /var/lib/gate
VOLUME /var/lib/gate
EXPOSE 8080 8443 8081 9464
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=10s --timeout=3s --start-period=10s --retries=3 \
  CMD ["python", "-c", "import urllib.request as r; r.urlopen('http://127.0.0.1:9464/healthz', timeout=2)"]
ENTRYPOINT ["gate"]
CMD ["serve"]
