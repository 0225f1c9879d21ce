# The one image of Shoal: docker-compose.yml gives each service its command.
FROM python:3.11-slim-bookworm

# LightGBM needs libgomp1; git tells the code's version, which every published row can be traced to.
RUN apt-get update \
    && apt-get install --yes --no-install-recommends git libgomp1 \
    && rm -rf /var/lib/apt/lists/* \
    && git config --system --add safe.directory /shoal

WORKDIR /shoal

# torch for processors; for GPUs: docker compose build --build-arg TORCH_INDEX=https://download.pytorch.org/whl/cu129
ARG TORCH_INDEX=https://download.pytorch.org/whl/cpu
COPY pyproject.toml requirements.lock requirements-cluster.lock ./
COPY orchestrate/install.py orchestrate/install.py
# Bytecode now, as the services cannot write here: of uv's packages, which it leaves to whoever imports them.
RUN UV_COMPILE_BYTECODE=1 PIP_EXTRA_INDEX_URL=$TORCH_INDEX python orchestrate/install.py cluster && rm -rf .venv/cache

COPY . .
# And of ours.
RUN .venv/bin/python -m compileall -q cli.py journal.py settings.py dags expectations landing ml orchestrate serving warehouse

ENV PATH=/shoal/.venv/bin:$PATH LANG=C.UTF-8 PYTHONUNBUFFERED=1
# docker-compose.yml puts the owner of the files in its place.
USER 65534:65534
ENTRYPOINT ["python", "-m", "orchestrate"]
