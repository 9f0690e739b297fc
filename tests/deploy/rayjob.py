"""Schema of the fields of a RayJob (KubeRay 1.6) that deploy/rayjob.yaml uses.

From KubeRay's reference of ray.io/v1, without pod templates, for which Kubernetes' own schema is used.
"""

TEXT, COUNT, FLAG = {"type": "string", "minLength": 1}, {"type": "integer", "minimum": 0}, {"type": "boolean"}


def _object(required: tuple[str, ...], **properties: dict) -> dict:
    return {"type": "object", "required": list(required), "properties": properties, "additionalProperties": False}


_TEMPLATE = {"type": "object", "required": ["spec"]}
_START = {"type": "object", "additionalProperties": TEXT}
_WORKERS = _object(
    ("groupName", "replicas", "minReplicas", "maxReplicas", "rayStartParams", "template"),
    groupName=TEXT,
    replicas=COUNT,
    minReplicas=COUNT,
    maxReplicas=COUNT,
    rayStartParams=_START,
    template=_TEMPLATE,
)
_CLUSTER = _object(
    ("rayVersion", "authOptions", "headGroupSpec", "workerGroupSpecs"),
    rayVersion=TEXT,
    enableInTreeAutoscaling=FLAG,
    authOptions=_object(("mode",), mode={"enum": ["token"]}),
    headGroupSpec=_object(("rayStartParams", "template"), rayStartParams=_START, template=_TEMPLATE),
    workerGroupSpecs={"type": "array", "minItems": 1, "items": _WORKERS},
)
RAYJOB = _object(
    ("apiVersion", "kind", "metadata", "spec"),
    apiVersion={"const": "ray.io/v1"},
    kind={"const": "RayJob"},
    metadata=_object(("name",), name=TEXT),
    spec=_object(
        ("entrypoint", "rayClusterSpec"),
        entrypoint=TEXT,
        shutdownAfterJobFinishes=FLAG,
        ttlSecondsAfterFinished=COUNT,
        backoffLimit=COUNT,
        rayClusterSpec=_CLUSTER,
    ),
)
