# What every step of a pipeline runs in on a cluster; docs/images.md says how it is built and run.
# The locked packages and one file: the project's code comes from the artifact store (shutterline_step.py).
# A second environment holds what the serving image does: what serving costs is measured in it.
ARG BASE=python:3.11-slim-bookworm

FROM ${BASE} AS build
# cpu, cu130, …: uv's --torch-backend. Empty: torch as the lock file has it, which is with CUDA.
ARG TORCH_BACKEND=cpu
# A mirror of the package index, without credentials: those go into the secret `netrc`.
ARG UV_DEFAULT_INDEX
ARG LOCK_DIGEST
WORKDIR /build
COPY requirements.txt requirements.lock stacks/docker/excludes.txt ./
COPY serving/requirements.lock ./serving.lock
# The label below must not lie about the lock file.
RUN [ -z "${LOCK_DIGEST}" ] || echo "${LOCK_DIGEST}  requirements.lock" | sha256sum --check --strict
RUN --mount=type=secret,id=netrc,target=/root/.netrc \
    python3 -m venv /opt/installer \
    && PIP_INDEX_URL="${UV_DEFAULT_INDEX:-https://pypi.org/simple}" \
        /opt/installer/bin/pip install --no-cache-dir --no-deps "$(grep '^uv==' requirements.lock)" \
    && python3 -m venv --without-pip /opt/venv \
    && /opt/installer/bin/uv pip install --no-cache --link-mode copy --compile-bytecode \
        --python /opt/venv/bin/python ${TORCH_BACKEND:+--torch-backend "${TORCH_BACKEND}"} \
        --requirements requirements.txt --constraints requirements.lock --excludes excludes.txt
RUN --mount=type=secret,id=netrc,target=/root/.netrc \
    python3 -m venv --without-pip /opt/venv-serving \
    && /opt/installer/bin/uv pip install --no-cache --link-mode copy --compile-bytecode \
        --python /opt/venv-serving/bin/python --requirements serving.lock
# A library that the base lacks is noticed here, not in the cluster.
RUN /opt/venv/bin/python -c "import kfp, kubernetes, mlflow, onnxruntime, pyarrow, sklearn, torchvision, zenml" \
    && /opt/venv-serving/bin/python -c "import gunicorn, onnxruntime, seldon_core, simplejpeg"
COPY stacks/docker/shutterline_step.py /opt/venv/lib/python3.11/site-packages/
RUN /opt/venv/bin/python -m compileall -q /opt/venv/lib/python3.11/site-packages/shutterline_step.py

FROM ${BASE}
RUN groupadd --gid 1000 shutterline \
    && useradd --uid 1000 --gid 1000 --no-create-home --home-dir /tmp --shell /usr/sbin/nologin shutterline
COPY --from=build /opt/venv /opt/venv
COPY --from=build /opt/venv-serving /opt/venv-serving
# The root file system may be read-only: all that a step writes is under /tmp, a volume of the container.
ENV PATH=/opt/venv/bin:/usr/local/bin:/usr/bin:/bin HOME=/tmp TMPDIR=/tmp USER=shutterline \
    PYTHONUNBUFFERED=1 ZENML_ANALYTICS_OPT_IN=false \
    SHUTTERLINE_SERVING_PYTHON=/opt/venv-serving/bin/python
WORKDIR /tmp
USER 1000:1000
# A step ends by itself: its exit code says how it went, and there is no server to ask.
HEALTHCHECK NONE
CMD ["python", "--version"]
ARG BASE
ARG TORCH_BACKEND=cpu
ARG REVISION=unknown
ARG VERSION=unknown
ARG LOCK_DIGEST=unknown
LABEL org.opencontainers.image.title="shutterline-training" \
    org.opencontainers.image.description="Runs the steps of Shutterline's pipelines" \
    org.opencontainers.image.licenses="Apache-2.0" \
    org.opencontainers.image.base.name="${BASE}" \
    org.opencontainers.image.revision="${REVISION}" \
    org.opencontainers.image.version="${VERSION}" \
    shutterline.lock.sha256="${LOCK_DIGEST}" \
    shutterline.torch.backend="${TORCH_BACKEND:-lock}"
