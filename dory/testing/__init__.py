"""Networks, random networks and comparisons to test deployments with; users may fuzz with them too.

networks.py holds named quantised networks with seeded random weights, qdq_builder.py what they are written with,
strategies.py Hypothesis strategies of random networks. onnxruntime is imported only where a function compares with it.
"""
