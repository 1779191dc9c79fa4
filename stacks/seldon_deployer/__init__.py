"""The model deployer of a cluster: one SeldonDeployment for each model and environment.

Its name and URL are stable. What is live, what was live before and a change under way are annotations of the
resource, so that whoever may read it can tell, and a command that was killed loses nothing.
"""
