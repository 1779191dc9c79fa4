"""What Envoy reads: its bootstrap, the clusters, the routes; plain JSON made from the replicas."""

from __future__ import annotations

import json
from typing import Any

from materializers.report import json_digest
from serving.launching import PREDICTIONS
from stacks.local_deployer.state import Replica

BOOTSTRAP, CLUSTERS, ROUTES = "bootstrap.json", "clusters.json", "routes.json"
ROUTE_TABLE = "x-route-table"
# The microservice closes idle connections after 75 s: Envoy must be first, or it may send into a closing one.
UPSTREAM_IDLE = "30s"
REQUEST_TIMEOUT = "60s"
TYPES = "type.googleapis.com/envoy"


def route_table_digest(replicas: dict[str, Replica]) -> str:
    """Name a route table by what it holds."""
    return json_digest({key: replica.name for key, replica in replicas.items()})[:16]


def to_json(content: object) -> bytes:
    """The same content, the same bytes."""
    return json.dumps(content, indent=1, sort_keys=True).encode()


def _watched(name: str) -> dict[str, Any]:
    """A file in Envoy's working directory, read again when a file is renamed there."""
    return {"path_config_source": {"path": name, "watched_directory": {"path": "."}}}


def _socket(host: str, port: int) -> dict[str, Any]:
    return {"socket_address": {"address": host, "port_value": port}}


def cluster(replica: Replica) -> dict[str, Any]:
    """The cluster of one replica."""
    endpoint = {"endpoint": {"address": _socket("127.0.0.1", replica.port)}}
    return {
        "@type": f"{TYPES}.config.cluster.v3.Cluster",
        "name": replica.name,
        "type": "STATIC",
        "connect_timeout": "2s",
        "load_assignment": {"cluster_name": replica.name, "endpoints": [{"lb_endpoints": [endpoint]}]},
        "typed_extension_protocol_options": {
            "envoy.extensions.upstreams.http.v3.HttpProtocolOptions": {
                "@type": f"{TYPES}.extensions.upstreams.http.v3.HttpProtocolOptions",
                "common_http_protocol_options": {"idle_timeout": UPSTREAM_IDLE},
                "explicit_http_config": {"http_protocol_options": {}},
            }
        },
    }


def route_configuration(replicas: dict[str, Replica], table: str) -> dict[str, Any]:
    """One prefix for each ``environment/model``; any other path is a 404 that carries ``table``."""
    routes: list[dict[str, Any]] = [
        {
            "match": {"prefix": f"/seldon/{key}/"},
            "route": {
                "cluster": replica.name,
                "prefix_rewrite": "/",
                "timeout": REQUEST_TIMEOUT,
                "retry_policy": {
                    "retry_on": "connect-failure,refused-stream,reset-before-request",
                    "num_retries": 1,
                },
            },
        }
        for key, replica in sorted(replicas.items())
    ]
    served = ", ".join(f"/seldon/{key}{PREDICTIONS}" for key in sorted(replicas)) or "nothing"
    routes.append(
        {
            "match": {"prefix": "/"},
            "direct_response": {
                "status": 404,
                "body": {"inline_string": f"no model is served at this path; served here: {served}"},
            },
            "response_headers_to_add": [{"header": {"key": ROUTE_TABLE, "value": table}}],
        }
    )
    return {
        "@type": f"{TYPES}.config.route.v3.RouteConfiguration",
        "name": "releases",
        "virtual_hosts": [{"name": "releases", "domains": ["*"], "routes": routes}],
    }


def bootstrap(host: str, port: int, max_request_bytes: int) -> dict[str, Any]:
    """One listener; clusters, routes and the administration socket in Envoy's working directory."""
    filters = [
        {
            "name": "envoy.filters.http.buffer",
            "typed_config": {
                "@type": f"{TYPES}.extensions.filters.http.buffer.v3.Buffer",
                "max_request_bytes": max_request_bytes,
            },
        },
        {
            "name": "envoy.filters.http.router",
            "typed_config": {"@type": f"{TYPES}.extensions.filters.http.router.v3.Router"},
        },
    ]
    # Errors of the ingress have the shape of the microservice's own.
    error = {"status": 1, "code": "%RESPONSE_CODE%", "reason": "ingress", "info": "%LOCAL_REPLY_BODY%"}
    manager = {
        "@type": f"{TYPES}.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager",
        "stat_prefix": "ingress",
        "normalize_path": True,
        "merge_slashes": True,
        "path_with_escaped_slashes_action": "REJECT_REQUEST",
        "rds": {"route_config_name": "releases", "config_source": _watched(ROUTES)},
        "local_reply_config": {"body_format": {"json_format": {"status": error}}},
        "http_filters": filters,
    }
    chain = {"filters": [{"name": "envoy.filters.network.http_connection_manager", "typed_config": manager}]}
    # Without SO_REUSEPORT a second server cannot share the port unnoticed.
    listener = {
        "name": "ingress",
        "address": _socket(host, port),
        "enable_reuse_port": False,
        "filter_chains": [chain],
    }
    return {
        "node": {"id": "shutterline", "cluster": "shutterline"},
        "admin": {"address": {"pipe": {"path": "admin.sock", "mode": 0o600}}},
        "dynamic_resources": {"cds_config": _watched(CLUSTERS)},
        "static_resources": {"listeners": [listener]},
    }
