//go:build tools

// Package helm requires the modules of the program, so that go.mod names them.
package helm

import _ "helm.sh/helm/v3/cmd/helm"
