"""The typed model of one host's network: what its kernel holds, decoded from the evidence.

`build.build_host` turns a host's evidence into a `netns.Host`. Pure: no input or output, no clock.
"""
