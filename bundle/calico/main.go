// Calico's CNI plugins and their installer as one program, since nearly all of their code is the
// same. The name it is called by chooses.
package main

import (
	"fmt"
	"os"
	"path/filepath"

	"github.com/projectcalico/calico/cni-plugin/pkg/install"
	"github.com/projectcalico/calico/cni-plugin/pkg/ipamplugin"
	"github.com/projectcalico/calico/cni-plugin/pkg/plugin"
	"github.com/sirupsen/logrus"
)

// VERSION is set by the linker.
var VERSION string

func main() {
	switch name := filepath.Base(os.Args[0]); name {
	case "calico":
		plugin.Main(VERSION)
	case "calico-ipam":
		ipamplugin.Main(VERSION)
	case "install":
		if err := install.Install(VERSION); err != nil {
			logrus.WithError(err).Fatal("Error installing CNI plugin.")
		}
	default:
		fmt.Fprintf(os.Stderr, "%s: call it calico, calico-ipam or install\n", name)
		os.Exit(64)
	}
}
