"""Reads jobset.yaml, jobset_audit.yaml and skypilot.yaml with the parsers that belong to them.

  pip install kubeflow-trainer-api skypilot pyyaml     in an environment of its own
  python launch/checks/yaml_files.py

Kubeflow's trainer carries the models generated from the OpenAPI description of JobSet (jobset.x-k8s.io/v1alpha2)
and of the Job inside it (batch/v1). They refuse a wrong type, a missing field and a value outside an enumeration, and
leave out a field that the API does not have: what comes back must equal what went in.
"""

import importlib.metadata
import pathlib

import pydantic
import sky
import yaml
from kubeflow_trainer_api.models.jobset_v1alpha2_job_set import JobsetV1alpha2JobSet as JobSet

LAUNCH = pathlib.Path(__file__).parent.parent
JOB_SET = (LAUNCH / "jobset.yaml").read_text()
# What a checker that passes everything would pass: an unknown field, a missing one, a wrong type, a wrong value.
MISTAKES = (
    ("maxRestarts: 20", "maxRestart: 20"),
    ("image: IMAGE", "imagee: IMAGE"),
    ("mountPath: /runs", "mountpath: /runs"),
    ("replicas: 1", "replicas: '1'"),
    ("completionMode: Indexed", "completionMode: Index"),
)


def is_job_set(text: str) -> bool:
    fields = yaml.safe_load(text)
    if (fields["apiVersion"], fields["kind"]) != ("jobset.x-k8s.io/v1alpha2", "JobSet"):
        return False
    try:
        return JobSet.from_dict(fields).to_dict() == fields
    except pydantic.ValidationError:
        return False


def main() -> None:
    version = importlib.metadata.version("kubeflow-trainer-api")
    if not is_job_set(JOB_SET):
        raise SystemExit("jobset.yaml is not a JobSet of v1alpha2.")
    print(f"jobset.yaml: a JobSet of v1alpha2, by kubeflow-trainer-api {version}")
    for right, wrong in MISTAKES:
        if right not in JOB_SET or is_job_set(JOB_SET.replace(right, wrong, 1)):
            raise SystemExit(f"{wrong!r} in the place of {right!r} was not noticed.")
        print(f"  refused with {wrong!r}")

    if not is_job_set((LAUNCH / "jobset_audit.yaml").read_text()):
        raise SystemExit("jobset_audit.yaml is not a JobSet of v1alpha2.")
    print("jobset_audit.yaml: one too")

    task = sky.Task.from_yaml(str(LAUNCH / "skypilot.yaml"))
    print(f"skypilot.yaml: SkyPilot {sky.__version__} loads {task.name}: {next(iter(task.resources))}")


if __name__ == "__main__":
    main()
