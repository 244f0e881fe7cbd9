"""The review server: access control, the samples that it shows, the verdicts that it saves."""
