// Reads a Terraform file with Terraform's own parser, and writes the subjects of its resources as a JSON array. Ends with
// 1 where the parser refuses the file, or where a value is no plain string.
package main

import (
	"encoding/json"
	"fmt"
	"os"

	"github.com/hashicorp/hcl/v2/hclparse"
	"github.com/hashicorp/hcl/v2/hclsyntax"
)

func main() {
	file, problems := hclparse.NewParser().ParseHCLFile(os.Args[1])
	if problems.HasErrors() {
		fail(problems)
	}
	subjects := []string{}
	for _, block := range file.Body.(*hclsyntax.Body).Blocks {
		attribute := block.Body.Attributes["subject"]
		if attribute == nil {
			continue
		}
		value, problems := attribute.Expr.Value(nil)
		if problems.HasErrors() {
			fail(problems)
		}
		subjects = append(subjects, value.AsString())
	}
	if err := json.NewEncoder(os.Stdout).Encode(subjects); err != nil {
		fail(err)
	}
}

func fail(problem error) {
	fmt.Fprintln(os.Stderr, problem)
	os.Exit(1)
}
