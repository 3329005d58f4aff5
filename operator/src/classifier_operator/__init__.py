"""The operator: turns ClassifierTrainingJobs into batch Jobs and ClassifierDeployments into Deployments."""
