"""What ``diagnose --http`` and ``serve`` show: a diagnosis to click through, and others from the same evidence.

What a page shows is worked out without any input or output (`wanted`, `hop`, `diagnosis_page`, `hits`, `run_page`);
`app` answers requests with it, behind `guard`; `server` is the socket.
"""
