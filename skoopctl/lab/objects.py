"""The lab's Kubernetes objects, as an API server would return them, worked out from the plan.

The shapes are those of objects recorded from a v1.36.2 API server, without ``managedFields``.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from skoopctl.lab.topology import (
    LabNode,
    LabPod,
    LabService,
    LabServicePort,
    Plan,
    stable_uid,
)

CREATED = "2026-01-05T08:00:00Z"
VERSION = "v1.36.2"
NAMESPACES = ("default", "infra", "kube-node-lease", "kube-public", "kube-system", "tools")

_Object = dict[str, Any]


def api_objects(plan: Plan) -> dict[str, list[_Object]]:
    """Return the lab's objects by resource name, each list in the order of its names.

    ``resourceVersion`` is given by whoever serves them.
    """
    slices = [_endpoint_slice(plan, service) for service in plan.services]
    lists = {
        "namespaces": [_namespace(name) for name in NAMESPACES],
        "nodes": [_node(node) for node in plan.nodes],
        "pods": [_pod(plan, pod) for pod in plan.pods],
        "services": [_service(service) for service in plan.services],
        "endpointslices": slices,
        "networkpolicies": [],
    }
    return {
        resource: sorted(items, key=lambda o: (o["metadata"].get("namespace", ""), o["metadata"]["name"]))
        for resource, items in lists.items()
    }


def _metadata(kind: str, name: str, namespace: str = "", **more: Any) -> _Object:
    """Return an object's metadata; ``more`` holds labels, annotations and owners; empty ones are left out."""
    meta: _Object = {"name": name}
    if namespace:
        meta["namespace"] = namespace
    meta["uid"] = stable_uid(f"{kind}/{namespace}/{name}" if kind != "pod" else f"pod/{namespace}/{name}")
    meta["creationTimestamp"] = CREATED
    meta.update({key: value for key, value in more.items() if value})
    return meta


def _namespace(name: str) -> _Object:
    """Return a namespace."""
    labels = {"kubernetes.io/metadata.name": name}
    return {
        "metadata": _metadata("namespace", name, labels=labels),
        "spec": {"finalizers": ["kubernetes"]},
        "status": {"phase": "Active"},
    }


def _node(node: LabNode) -> _Object:
    """Return a node, with flannel's annotations and the addresses that kubelet reports."""
    labels = {
        "beta.kubernetes.io/os": "linux",
        "kubernetes.io/arch": "amd64",
        "kubernetes.io/hostname": node.name,
        "kubernetes.io/os": "linux",
    }
    if node.control_plane:
        labels["node-role.kubernetes.io/control-plane"] = ""
    annotations = {
        "flannel.alpha.coreos.com/backend-data": f'{{"VNI":1,"VtepMAC":"{node.tunnel_mac}"}}',
        "flannel.alpha.coreos.com/backend-type": "vxlan",
        "flannel.alpha.coreos.com/kube-subnet-manager": "true",
        "flannel.alpha.coreos.com/public-ip": node.address,
    }
    return {
        "metadata": _metadata("node", node.name, labels=labels, annotations=annotations),
        "spec": {"podCIDR": node.pod_cidr, "podCIDRs": [node.pod_cidr]},
        "status": {
            "addresses": [
                {"type": "InternalIP", "address": node.address},
                {"type": "Hostname", "address": node.name},
            ],
            "conditions": [_condition("Ready", ok=True, reason="KubeletReady")],
            "daemonEndpoints": {"kubeletEndpoint": {"Port": 0}},
            "nodeInfo": {
                "architecture": "amd64",
                "bootID": "",
                "containerRuntimeVersion": "containerd://2.0.5",
                "kernelVersion": "",
                "kubeProxyVersion": "",
                "kubeletVersion": VERSION,
                "machineID": "",
                "operatingSystem": "linux",
                "osImage": "Debian GNU/Linux 12 (bookworm)",
                "systemUUID": "",
            },
        },
    }


def _condition(kind: str, *, ok: bool, reason: str = "") -> _Object:
    """Return one condition of a node or pod."""
    condition: _Object = {
        "type": kind,
        "status": "True" if ok else "False",
        "lastTransitionTime": CREATED,
    }
    if reason:
        condition["reason"] = reason
    return condition


def _pod_labels(pod: LabPod) -> _Object:
    """Return the labels that services select by."""
    return {"k8s-app": pod.app} if pod.app == "kube-dns" else {"app": pod.app}


def _pod(plan: Plan, pod: LabPod) -> _Object:
    """Return a running pod."""
    spec: _Object = {
        "containers": [_container(pod)],
        "restartPolicy": "Always",
        "terminationGracePeriodSeconds": 30,
        "dnsPolicy": "ClusterFirst",
        "serviceAccountName": "default",
        "nodeName": pod.node,
        "securityContext": {},
        "schedulerName": "default-scheduler",
        "tolerations": [{"operator": "Exists"}],
        "priority": 0,
        "enableServiceLinks": True,
        "preemptionPolicy": "PreemptLowerPriority",
    }
    if pod.host_network:
        spec["hostNetwork"] = True
    return {
        "metadata": _metadata("pod", pod.name, pod.namespace, labels=_pod_labels(pod)),
        "spec": spec,
        "status": _pod_status(plan.node(pod.node), pod),
    }


def _container(pod: LabPod) -> _Object:
    """Return the pod's one container."""
    container: _Object = {
        "name": "c",
        "image": f"registry.example/{pod.app}",
        "resources": {},
        "imagePullPolicy": "IfNotPresent",
    }
    if pod.ports:
        container["ports"] = [
            {"name": port.name, "containerPort": port.number, "protocol": port.protocol}
            | ({"hostPort": port.number} if pod.host_network else {})
            for port in pod.ports
        ]
    return container


def _pod_status(node: LabNode, pod: LabPod) -> _Object:
    """Return the status that the node's kubelet would report."""
    return {
        "phase": "Running",
        "conditions": [
            _condition("Initialized", ok=True),
            _condition("Ready", ok=pod.ready),
            _condition("ContainersReady", ok=pod.ready),
            _condition("PodScheduled", ok=True),
        ],
        "hostIP": node.address,
        "hostIPs": [{"ip": node.address}],
        "podIP": pod.address,
        "podIPs": [{"ip": pod.address}],
        "startTime": CREATED,
        "containerStatuses": [
            {
                "name": "c",
                "state": {"running": {"startedAt": CREATED}},
                "lastState": {},
                "ready": pod.ready,
                "started": True,
                "restartCount": 0,
                "image": f"registry.example/{pod.app}",
                "imageID": "",
                "containerID": f"containerd://{pod.container_id}",
            }
        ],
        "qosClass": "BestEffort",
    }


def _service(service: LabService) -> _Object:
    """Return a service with the fields that the API server fills in."""
    spec: _Object = {
        "ports": [_service_port(port) for port in service.ports],
        "clusterIP": service.cluster_ip,
        "clusterIPs": [service.cluster_ip],
        "type": service.kind,
        "sessionAffinity": "ClientIP" if service.client_affinity else "None",
        "ipFamilies": ["IPv4"],
        "ipFamilyPolicy": "SingleStack",
        "internalTrafficPolicy": "Local" if service.internal_local else "Cluster",
    }
    if service.app:
        spec["selector"] = {"k8s-app" if service.app == "kube-dns" else "app": service.app}
    if service.client_affinity:
        spec["sessionAffinityConfig"] = {"clientIP": {"timeoutSeconds": 10800}}
    if service.external_ips:
        spec["externalIPs"] = list(service.external_ips)
    if service.kind != "ClusterIP" or service.external_ips:
        spec["externalTrafficPolicy"] = "Local" if service.external_local else "Cluster"
    if service.kind == "LoadBalancer":
        spec["allocateLoadBalancerNodePorts"] = True
    if service.source_ranges:
        spec["loadBalancerSourceRanges"] = list(service.source_ranges)
    if service.health_check_port:
        spec["healthCheckNodePort"] = service.health_check_port
    balancer: _Object = {}
    if service.load_balancer_ip:
        balancer["ingress"] = [{"ip": service.load_balancer_ip, "ipMode": "VIP"}]
    labels = {"component": "apiserver", "provider": "kubernetes"} if service.name == "kubernetes" else {}
    return {
        "metadata": _metadata("service", service.name, service.namespace, labels=labels),
        "spec": spec,
        "status": {"loadBalancer": balancer},
    }


def _service_port(port: LabServicePort) -> _Object:
    """Return one port of a service."""
    item: _Object = {"protocol": port.protocol, "port": port.number, "targetPort": port.target}
    if port.name:
        item = {"name": port.name, **item}
    if port.node_port:
        item["nodePort"] = port.node_port
    return item


def _endpoint_slice(plan: Plan, service: LabService) -> _Object:
    """Return the slice that the endpoint slice controller would write for a service."""
    if not service.app:
        return _apiserver_slice(plan, service)
    pods = [pod for pod in plan.pods if pod.app == service.app and pod.namespace == service.namespace]
    labels = {
        "endpointslice.kubernetes.io/managed-by": "endpointslice-controller.k8s.io",
        "kubernetes.io/service-name": service.name,
    }
    if service.cluster_ip == "None":
        labels["service.kubernetes.io/headless"] = ""
    owner = {
        "apiVersion": "v1",
        "kind": "Service",
        "name": service.name,
        "uid": stable_uid(f"service/{service.namespace}/{service.name}"),
        "controller": True,
        "blockOwnerDeletion": True,
    }
    name = f"{service.name}-{stable_uid(f'slice/{service.key}')[:5]}"
    return {
        "metadata": _metadata(
            "endpointslice", name, service.namespace, labels=labels, ownerReferences=[owner]
        ),
        "addressType": "IPv4",
        "endpoints": [_endpoint(pod) for pod in pods] or None,
        "ports": list(_slice_ports(service, pods)) or None,
    }


def _apiserver_slice(plan: Plan, service: LabService) -> _Object:
    """Return the slice of default/kubernetes, which the API server writes itself, without a node name."""
    labels = {"kubernetes.io/service-name": service.name}
    port = service.ports[0]
    return {
        "metadata": _metadata("endpointslice", service.name, service.namespace, labels=labels),
        "addressType": "IPv4",
        "endpoints": [{"addresses": [plan.nodes[0].address], "conditions": {"ready": True}}],
        "ports": [{"name": port.name, "protocol": port.protocol, "port": port.target}],
    }


def _endpoint(pod: LabPod) -> _Object:
    """Return one endpoint."""
    return {
        "addresses": [pod.address],
        "conditions": {"ready": pod.ready, "serving": pod.ready, "terminating": False},
        "targetRef": {"kind": "Pod", "namespace": pod.namespace, "name": pod.name, "uid": pod.uid},
        "nodeName": pod.node,
    }


def _slice_ports(service: LabService, pods: list[LabPod]) -> Iterator[_Object]:
    """Yield the slice's ports: a target's name is looked up in the pods that were selected."""
    for port in service.ports:
        named = [p.number for pod in pods for p in pod.ports if p.name == port.target]
        if isinstance(port.target, str) and not named:
            continue
        if pods:
            number = named[0] if named else port.target
            yield {"name": port.name, "protocol": port.protocol, "port": number}
