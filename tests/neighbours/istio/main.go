// Istio's pilot-agent with the one command that its init container runs.
package main

import (
	"os"

	"github.com/spf13/cobra"
	"istio.io/istio/pkg/log"
	iptables "istio.io/istio/tools/istio-iptables/pkg/cmd"
)

func main() {
	agent := &cobra.Command{Use: "pilot-agent", SilenceUsage: true}
	options := log.DefaultOptions()
	options.AttachCobraFlags(agent)
	agent.AddCommand(iptables.GetCommand(options))
	if err := agent.Execute(); err != nil {
		os.Exit(1)
	}
}
