# fastcnn serve on Debian slim:  docker build -t fastcnn . && docker run --rm -p 127.0.0.1:8000:8000 -v "$PWD/models:/models:ro" fastcnn
# Compiled models (fastcnn compile) are mapped from /models: containers on one machine share their pages.
FROM python:3.12-slim AS build
RUN apt-get update && apt-get install --yes --no-install-recommends gcc libc6-dev && rm -rf /var/lib/apt/lists/*
COPY . /source
RUN pip wheel --no-cache-dir --no-deps --wheel-dir /wheels /source

FROM python:3.12-slim
RUN apt-get update && apt-get install --yes --no-install-recommends libgomp1 && rm -rf /var/lib/apt/lists/*
COPY --from=build /wheels /wheels
RUN pip install --no-cache-dir "$(echo /wheels/*.whl)[serve]" && rm -rf /wheels
USER nobody
EXPOSE 8000
STOPSIGNAL SIGTERM
HEALTHCHECK CMD ["python", "-c", "import urllib.request; urllib.request.urlopen('http://127.0.0.1:8000/v2/health/ready')"]
ENTRYPOINT ["fastcnn", "serve", "--host", "0.0.0.0"]
CMD ["/models"]
