"""What Envoy reads: its bootstrap, the clusters, the routes; plain JSON made from where the traffic goes.

A replica is up to three clusters, by what it is asked for: as what serves, as a candidate that answers its
share, as a shadow that gets copies. A cluster never changes under its name, so that a promotion drains
nothing that it need not. Only predictions are divided; whatever else a client asks, what serves answers. The
feedback that it refuses is sent to its candidate, which may know a class that it does not.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

from materializers.report import json_digest
from serving.launching import FEEDBACK_PATHS, PREDICTIONS, PREDICTIONS_TOO, READINESS
from stacks.local_deployer.state import HOST, Replica, Route

BOOTSTRAP, CLUSTERS, ROUTES = "bootstrap.json", "clusters.json", "routes.json"
ROUTE_TABLE = "x-route-table"
# What a replica's cluster is called where it answers a share, and where it gets copies.
CANDIDATE, SHADOW = "-candidate", "-shadow"
REQUEST_ID, REQUEST_KEY = "x-request-id", "x-request-key"
# The microservice closes idle connections after 75 s: Envoy must be first, or it may send into a closing one.
UPSTREAM_IDLE = "30s"
REQUEST_TIMEOUT = "60s"
# Shares are told apart to a millionth.
WEIGHTS = 1_000_000
# A candidate that hangs is found out within 3 s, by two questions without an answer, and gets no more
# requests. At 100 requests a second and a tenth of them its queue does not fill before.
CANDIDATE_CHECKS = {
    "timeout": "1s",
    "interval": "0.5s",
    "no_traffic_interval": "0.5s",
    "unhealthy_threshold": 2,
    "healthy_threshold": 1,
    "http_health_check": {"path": READINESS},
}
# A request that it has for so long is asked of what serves too; the first answer counts. One that just takes
# its time is not cut off.
CANDIDATE_PATIENCE_MS = 3_000
HEADER_MUTATION = "envoy.filters.http.header_mutation"
# By these the router is told per request: a policy of the route would ask what serves twice, too.
HEDGED = {
    "x-envoy-upstream-rq-per-try-timeout-ms": str(CANDIDATE_PATIENCE_MS),
    "x-envoy-hedge-on-per-try-timeout": "true",
}
# Questions about health are of this priority, so that requests that wait keep none of them from being asked.
URGENT = "HIGH"
RETRY_AFTER_S = 1
BAD_REQUEST = 400
TOO_MANY_REQUESTS = 429
TYPES = "type.googleapis.com/envoy"


def route_table_digest(routes: dict[str, Route]) -> str:
    """Name a route table by what it holds."""
    return json_digest({key: route.model_dump(mode="json") for key, route in routes.items()})[:16]


def to_json(content: object) -> bytes:
    """The same content, the same bytes."""
    return json.dumps(content, indent=1, sort_keys=True).encode()


def _watched(name: str) -> dict[str, Any]:
    """A file in Envoy's working directory, read again when a file is renamed there."""
    return {"path_config_source": {"path": name, "watched_directory": {"path": "."}}}


def _socket(host: str, port: int) -> dict[str, Any]:
    return {"socket_address": {"address": host, "port_value": port}}


def cluster_names(replica: str) -> tuple[str, ...]:
    """Every cluster through which requests may reach a replica."""
    return replica, f"{replica}{CANDIDATE}", f"{replica}{SHADOW}"


def _either(first: str, then: str) -> str:
    """The cluster that asks one cluster, and another where that is gone or was asked before."""
    return f"{first}-or-{then}"


def _of_candidate(route: Route, candidate: Replica) -> str:
    """The cluster through which the candidate of a route is reached."""
    return f"{candidate.name}{SHADOW if route.mode == 'shadow' else CANDIDATE}"


def clusters(routes: Iterable[Route], queue: int) -> dict[str, dict[str, Any]]:
    """Every cluster that these routes need, by name.

    Args:
        routes: where the traffic goes.
        queue: how many requests may be at a replica; the next one is answered 429.
    """
    found: list[dict[str, Any]] = []
    for route in routes:
        found.append(_cluster(route.replica.name, route.replica, queue))
        if route.candidate is None:
            continue
        champion, candidate = route.replica.name, _of_candidate(route, route.candidate)
        asked = _cluster(candidate, route.candidate, queue)
        found += [asked, _one_or_other(champion, candidate)]
        if route.mode != "shadow":
            asked["health_checks"] = [CANDIDATE_CHECKS]
            found.append(_one_or_other(candidate, champion))
    return {one["name"]: one for one in found}


def _cluster(name: str, replica: Replica, queue: int) -> dict[str, Any]:
    """A cluster of one replica."""
    endpoint = {"endpoint": {"address": _socket(HOST, replica.port)}}
    limits = {"max_requests": queue, "max_pending_requests": queue, "max_retries": queue}
    return {
        "@type": f"{TYPES}.config.cluster.v3.Cluster",
        "name": name,
        "type": "STATIC",
        "connect_timeout": "2s",
        "circuit_breakers": {"thresholds": [{"priority": "DEFAULT", **limits}]},
        "load_assignment": {"cluster_name": name, "endpoints": [{"lb_endpoints": [endpoint]}]},
        "typed_extension_protocol_options": {
            "envoy.extensions.upstreams.http.v3.HttpProtocolOptions": {
                "@type": f"{TYPES}.extensions.upstreams.http.v3.HttpProtocolOptions",
                "common_http_protocol_options": {"idle_timeout": UPSTREAM_IDLE},
                "explicit_http_config": {"http_protocol_options": {}},
            }
        },
    }


def _one_or_other(first: str, then: str) -> dict[str, Any]:
    """A cluster of clusters. Retries are counted here; how many requests there may be, at either of them."""
    return {
        "@type": f"{TYPES}.config.cluster.v3.Cluster",
        "name": _either(first, then),
        "connect_timeout": "2s",
        "lb_policy": "CLUSTER_PROVIDED",
        "circuit_breakers": {"thresholds": [{"priority": "DEFAULT", "max_retries": WEIGHTS}]},
        "cluster_type": {
            "name": "envoy.clusters.aggregate",
            "typed_config": {
                "@type": f"{TYPES}.extensions.clusters.aggregate.v3.ClusterConfig",
                "clusters": [first, then],
            },
        },
    }


def route_configuration(routes: dict[str, Route], table: str) -> dict[str, Any]:
    """Each ``environment/model`` below its prefix; any other path is a 404 that carries ``table``."""
    found: list[dict[str, Any]] = []
    for key, route in sorted(routes.items()):
        base = f"/seldon/{key}"
        health = {"priority": URGENT, "prefix_rewrite": "/health/"}
        found.append({"match": {"prefix": f"{base}/health/"}, "route": _served(route) | health})
        if route.candidate is not None:
            for path in (PREDICTIONS, *PREDICTIONS_TOO):
                divided = {"prefix_rewrite": path, **_divided(route, route.candidate)}
                found.append({"match": {"path": f"{base}{path}"}, "route": divided})
            for path in FEEDBACK_PATHS:
                told = {"prefix_rewrite": path, **_told(route, route.candidate)}
                found.append({"match": {"path": f"{base}{path}"}, "route": told})
        found.append({"match": {"prefix": f"{base}/"}, "route": _served(route) | {"prefix_rewrite": "/"}})
    served = ", ".join(f"/seldon/{key}{PREDICTIONS}" for key in sorted(routes)) or "nothing"
    found.append(
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
        "virtual_hosts": [{"name": "releases", "domains": ["*"], "routes": found}],
    }


def _served(route: Route) -> dict[str, Any]:
    """All of it to what serves."""
    return {
        "cluster": route.replica.name,
        "timeout": REQUEST_TIMEOUT,
        "retry_policy": {"retry_on": "connect-failure,refused-stream,reset-before-request", "num_retries": 1},
    }


def _told(route: Route, candidate: Replica) -> dict[str, Any]:
    """To what serves, and to its candidate what that refuses, such as a label that only one of them knows."""
    retried = _elsewhere("connect-failure,refused-stream,reset-before-request,retriable-status-codes")
    return {
        "cluster": _either(route.replica.name, _of_candidate(route, candidate)),
        "timeout": REQUEST_TIMEOUT,
        "retry_policy": {**retried, "retriable_status_codes": [BAD_REQUEST]},
    }


def _elsewhere(retry_on: str) -> dict[str, Any]:
    """Ask once more, of the cluster that was not asked yet."""
    return {
        "retry_on": retry_on,
        "num_retries": 1,
        "retry_priority": {
            "name": "envoy.retry_priorities.previous_priorities",
            "typed_config": {
                "@type": f"{TYPES}.extensions.retry.priority.previous_priorities.v3.PreviousPrioritiesConfig",
                "update_frequency": 1,
            },
        },
    }


def _divided(route: Route, candidate: Replica) -> dict[str, Any]:
    """Between what serves and its candidate."""
    asked = _of_candidate(route, candidate)
    if route.mode == "shadow":
        mirrored = {"cluster": asked, "disable_shadow_host_suffix_append": True}
        return {**_served(route), "request_mirror_policies": [mirrored]}
    share = round(route.share * WEIGHTS)
    # The candidate's first: where its share grows, no key leaves it.
    shares = [
        {
            "name": _either(asked, route.replica.name),
            "weight": share,
            "typed_per_filter_config": {HEADER_MUTATION: _with_headers(HEDGED)},
        },
        {"name": route.replica.name, "weight": WEIGHTS - share},
    ]
    divided: dict[str, Any] = {
        "weighted_clusters": {"clusters": shares},
        "timeout": REQUEST_TIMEOUT,
        # A prediction changes nothing, so that one whose candidate died over it is asked again, elsewhere.
        "retry_policy": _elsewhere("connect-failure,refused-stream,reset"),
    }
    if route.mode == "ab":
        divided["weighted_clusters"]["use_hash_policy"] = True
        divided["hash_policy"] = [
            {"header": {"header_name": REQUEST_KEY}, "terminal": True},
            {"header": {"header_name": REQUEST_ID}},
        ]
    return divided


def _with_headers(headers: dict[str, str]) -> dict[str, Any]:
    """What sets these headers of a request before it is sent on."""
    mutations = [
        {"append": {"header": {"key": key, "value": value}, "append_action": "OVERWRITE_IF_EXISTS_OR_ADD"}}
        for key, value in headers.items()
    ]
    return {
        "@type": f"{TYPES}.extensions.filters.http.header_mutation.v3.HeaderMutationPerRoute",
        "mutations": {"request_mutations": mutations},
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
            "name": HEADER_MUTATION,
            "typed_config": {"@type": f"{TYPES}.extensions.filters.http.header_mutation.v3.HeaderMutation"},
        },
        {
            "name": "envoy.filters.http.router",
            "typed_config": {"@type": f"{TYPES}.extensions.filters.http.router.v3.Router"},
        },
    ]
    # Errors of the ingress have the shape of the microservice's own.
    error = {"status": 1, "code": "%RESPONSE_CODE%", "reason": "ingress", "info": "%LOCAL_REPLY_BODY%"}
    overloaded = {
        "status": 1,
        "code": TOO_MANY_REQUESTS,
        "reason": "overloaded",
        "info": f"as many requests wait as are answered in time; try again in {RETRY_AFTER_S} s",
    }
    # UO: upstream overflow, the circuit breaker's.
    too_many = {
        "filter": {"response_flag_filter": {"flags": ["UO"]}},
        "status_code": TOO_MANY_REQUESTS,
        "headers_to_add": [{"header": {"key": "retry-after", "value": str(RETRY_AFTER_S)}}],
        "body_format_override": {"json_format": {"status": overloaded}},
    }
    manager = {
        "@type": f"{TYPES}.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager",
        "stat_prefix": "ingress",
        "normalize_path": True,
        "merge_slashes": True,
        "path_with_escaped_slashes_action": "REJECT_REQUEST",
        # A caller's own is kept as it is; it comes back in the answer.
        "preserve_external_request_id": True,
        "request_id_extension": {
            "typed_config": {
                "@type": f"{TYPES}.extensions.request_id.uuid.v3.UuidRequestIdConfig",
                "pack_trace_reason": False,
            }
        },
        "rds": {"route_config_name": "releases", "config_source": _watched(ROUTES)},
        "local_reply_config": {
            "mappers": [too_many],
            "body_format": {"json_format": {"status": error}},
        },
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
