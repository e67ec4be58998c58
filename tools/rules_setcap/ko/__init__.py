"""Reading linux_capabilities of .ko.yaml."""
