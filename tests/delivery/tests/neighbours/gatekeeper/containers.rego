package lib.containers

# All containers but those whose image begins as an exempt one.
checked contains container if {
	some list in ["containers", "initContainers", "ephemeralContainers"]
	some container in input.review.object.spec[list]
	not is_exempt(container.image)
}

is_exempt(image) if {
	some exempt in input.parameters.exemptImages
	startswith(image, trim_suffix(exempt, "*"))
}

# A value of the container's securityContext, else of the pod's, else null.
setting(container, path) := object.get(container, array.concat(["securityContext"], path), of_pod(path))

of_pod(path) := object.get(input.review.object.spec, array.concat(["securityContext"], path), null)
