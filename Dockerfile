# One image for web, workers, beat and the migration job; docker-compose.yml says which command is which.
# Every package is locked by hash. GROUP=local adds what the emulated AWS of the `local-aws` profile needs.
FROM python:3.11-slim AS build
ARG GROUP=base
WORKDIR /app
COPY requirements requirements
RUN python -m venv /venv \
    && /venv/bin/pip install --no-cache-dir --require-hashes -r "requirements/${GROUP}.txt"

FROM python:3.11-slim
ENV PATH=/venv/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    DJANGO_SETTINGS_MODULE=controlplane.settings
RUN useradd --system --uid 10001 --no-create-home --shell /usr/sbin/nologin controlplane
WORKDIR /app
COPY --from=build /venv /venv
COPY . .
# Static files are hashed into the image. The keys are for this command only; a real start refuses such short ones.
RUN CP_SECRET_KEY=build AWS_EXPECTED_ACCOUNT_ID=000000000000 \
    python manage.py collectstatic --noinput --skip-checks --verbosity 0
USER 10001
EXPOSE 8000
HEALTHCHECK --interval=10s --timeout=5s --start-period=30s --retries=3 \
    CMD ["python", "-c", "import urllib.request; urllib.request.urlopen('http://127.0.0.1:8000/health/ready', timeout=4)"]
CMD ["python", "-m", "gunicorn", "controlplane.wsgi:application", "--bind", "0.0.0.0:8000", "--workers", "4", "--worker-class", "sync", "--no-control-socket"]
