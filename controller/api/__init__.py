"""The HTTP API: one file per resource, its routes declared where they are handled (`controller.api.routing`)."""
