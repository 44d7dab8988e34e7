"""Compares the subjects of federated credentials in the files for Terraform, Bicep and Azure Service Operator.

    compare.py SUBJECTS DIRECTORY    SUBJECTS: those of the Terraform file, as a JSON array
"""

import json
import re
import sys

import pycep
import tree_sitter
import tree_sitter_bicep
import yaml


def bicep(text):
    """The subjects of a Bicep file, which two parsers have to accept."""
    parser = tree_sitter.Parser(tree_sitter.Language(tree_sitter_bicep.language()))
    if parser.parse(text.encode()).root_node.has_error:
        sys.exit("credentials.bicep: tree-sitter-bicep finds a mistake")
    read = pycep.BicepParser().parse(text=text)
    return [unescaped(it["subject"]) for it in read["variables"]["credentials"]["value"]]


def unescaped(text):
    """A string of Bicep, whose escapes pycep leaves as they are."""
    one = lambda it: chr(int(it[1], 16)) if it[1] else it[2]
    return re.sub(r"\\(?:u\{([0-9a-f]+)\}|(.))", one, text)


def main(subjects, directory):
    read = lambda name: open(f"{directory}/{name}", encoding="utf-8").read()
    terraform = json.loads(subjects)
    applications = read("credentials.tf").count('resource "azuread_application_')
    documents = [it for it in yaml.safe_load_all(read("credentials.yaml")) if it]
    managed = [it["spec"]["subject"] for it in documents]
    if managed != bicep(read("credentials.bicep")):
        sys.exit("Bicep and YAML have other subjects")
    if len(managed) + applications != len(terraform) or not set(managed) <= set(terraform):
        sys.exit("Terraform and YAML have other subjects")
    if not any("${" in it for it in managed):
        sys.exit("no subject begins an expression")
    print(f"{len(terraform)} federated credentials are the same for Terraform, Bicep and Azure Service Operator")


main(*sys.argv[1:])
