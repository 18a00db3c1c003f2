"""Reads jobset.yaml and skypilot.yaml with the parsers that belong to them.

  pip install kubernetes-validate skypilot pyyaml     in an environment of its own
  python launch/checks/yaml_files.py

The JobSet's own fields are held against those of its API (jobset.x-k8s.io/v1alpha2, `JobSetSpec`,
`FailurePolicy` and `ReplicatedJob`, listed below by hand); the Job inside is validated, strictly, against the
schema of `batch/v1` that kubernetes-validate carries.
"""

import pathlib

import kubernetes_validate
import sky
import yaml

LAUNCH = pathlib.Path(__file__).parent.parent

JOB_SET = {"apiVersion": str, "kind": str, "metadata": dict, "spec": dict}
SPEC = {
    "coordinator": dict,
    "failurePolicy": dict,
    "managedBy": str,
    "network": dict,
    "replicatedJobs": list,
    "startupPolicy": dict,
    "successPolicy": dict,
    "suspend": bool,
    "ttlSecondsAfterFinished": int,
    "volumeClaimPolicies": list,
}
FAILURE_POLICY = {"maxRestarts": int, "restartStrategy": str, "rules": list}
REPLICATED_JOB = {"dependsOn": list, "groupName": str, "name": str, "replicas": int, "template": dict}


def check(fields: dict, known: dict, place: str) -> None:
    for name, value in fields.items():
        if name not in known:
            raise SystemExit(f"{place} has no field {name!r}; it has {', '.join(known)}.")
        if type(value) is not known[name]:
            raise SystemExit(f"{place}.{name} is {value!r}, not a {known[name].__name__}.")


def check_job_set(job_set: dict) -> None:
    check(job_set, JOB_SET, "the JobSet")
    if (job_set["apiVersion"], job_set["kind"]) != ("jobset.x-k8s.io/v1alpha2", "JobSet"):
        raise SystemExit(f"{job_set['apiVersion']} {job_set['kind']} is not a JobSet.")
    check(job_set["spec"], SPEC, "spec")
    check(job_set["spec"].get("failurePolicy", {}), FAILURE_POLICY, "spec.failurePolicy")
    for job in job_set["spec"]["replicatedJobs"]:
        check(job, REPLICATED_JOB, "a replicated job")
        inside = {"apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": job["name"]}} | job[
            "template"
        ]
        kubernetes_validate.validate(inside, "1.33", strict=True)


def main() -> None:
    job_set = yaml.safe_load((LAUNCH / "jobset.yaml").read_text())
    check_job_set(job_set)
    print("jobset.yaml: fields of v1alpha2, Job of batch/v1 valid for Kubernetes 1.33, strictly")
    # A checker that passes everything would pass these.
    broken = yaml.safe_load((LAUNCH / "jobset.yaml").read_text())
    broken["spec"]["replicatedJobs"][0]["template"]["spec"]["template"]["spec"]["containers"][0]["imagee"] = (
        "x"
    )
    try:
        check_job_set(broken)
    except kubernetes_validate.ValidationError as error:
        print(f"  with a misspelt field it is refused: {error.message}")
    else:
        raise SystemExit("a misspelt field was not noticed.")

    task = sky.Task.from_yaml(str(LAUNCH / "skypilot.yaml"))
    print(f"skypilot.yaml: SkyPilot {sky.__version__} loads {task.name}: {next(iter(task.resources))}")


if __name__ == "__main__":
    main()
