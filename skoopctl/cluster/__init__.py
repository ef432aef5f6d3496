"""The typed model of the Kubernetes objects, and the answer to "what is 10.244.3.70?".

`cluster.load_cluster` builds it from the API's lists; without any, addresses found in namespaces are enough
for everything else. `detect.detect` tells network plugin, underlay interface and proxy mode from the kernels.
"""
