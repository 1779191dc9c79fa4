"""How the service and the pipelines are watched from outside: Prometheus, Alertmanager, Grafana."""
