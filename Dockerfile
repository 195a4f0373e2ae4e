# One image for the migration, the worker and the page: `reid` is its entry point.
FROM python:3.11-slim AS build

# the build of torch: cpu, or a CUDA build such as cu132
ARG TORCH_BACKEND=cpu
# `page` alone is the light image, without torch
ARG EXTRAS=page,torch
ENV UV_LINK_MODE=copy UV_COMPILE_BYTECODE=1 UV_CACHE_DIR=/cache/uv PIP_CACHE_DIR=/cache/pip

WORKDIR /src
COPY pyproject.toml constraints.txt ./
RUN --mount=type=cache,target=/cache \
    python -m pip install --constraint constraints.txt uv
# what the program needs changes seldom: a layer of its own, without the program
RUN --mount=type=cache,target=/cache \
    python -m venv --without-pip /opt/reid \
    && uv pip install --python /opt/reid/bin/python --torch-backend "$TORCH_BACKEND" \
        --constraint constraints.txt --requirements pyproject.toml $(printf -- ' --extra %s' $(echo "$EXTRAS" | tr , ' '))

# .dockerignore lets in the program's own folders and nothing else
COPY . .
RUN --mount=type=cache,target=/cache \
    uv pip install --python /opt/reid/bin/python --build-constraint constraints.txt --no-deps .


FROM python:3.11-slim

RUN groupadd --gid 10001 reid \
    && useradd --uid 10001 --gid reid --home-dir /var/lib/reid --no-create-home reid \
    && install --directory --owner=reid --group=reid --mode=700 /var/lib/reid
COPY --from=build /opt/reid /opt/reid

ENV PATH=/opt/reid/bin:$PATH REID_HOME=/var/lib/reid PYTHONUNBUFFERED=1
USER 10001:10001
WORKDIR /var/lib/reid
VOLUME /var/lib/reid
EXPOSE 8000
ENTRYPOINT ["reid"]
CMD ["--help"]
