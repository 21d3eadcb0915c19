#!/usr/bin/env bash
# Puts @resource@ on Google Cloud: an image, two services, a job, their accounts, buckets and triggers.
# Run it again after a change: what is there is kept or brought up to date.
set -euo pipefail
cd "$(dirname "$0")"

project="@project@"
region="@region@"
resource="@resource@"
input="@input@"
output="@output@"
image="@image@"
input_action="@input_action@"

online="$resource-online@$project.iam.gserviceaccount.com"
batch="$resource-batch@$project.iam.gserviceaccount.com"
trigger="$resource-trigger@$project.iam.gserviceaccount.com"

gcloud() { command gcloud --project="$project" --quiet "$@"; }

# Tells whether something is there, so that it is made once.
there() { gcloud "$@" >/dev/null 2>&1; }

account() {
  there iam service-accounts describe "$1@$project.iam.gserviceaccount.com" ||
    gcloud iam service-accounts create "$1" --display-name="$2"
}

bucket() {
  there storage buckets describe "gs://$1" ||
    gcloud storage buckets create "gs://$1" --location="$region" \
      --uniform-bucket-level-access --public-access-prevention
  gcloud storage buckets update "gs://$1" --versioning --lifecycle-file=lifecycle.json
}

gcloud services enable run.googleapis.com eventarc.googleapis.com cloudscheduler.googleapis.com \
  artifactregistry.googleapis.com cloudbuild.googleapis.com storage.googleapis.com pubsub.googleapis.com

there artifacts repositories describe ampoule --location="$region" ||
  gcloud artifacts repositories create ampoule --location="$region" --repository-format=docker
gcloud builds submit --tag="$image" .

account "$resource-online" "@name@: predictions"
account "$resource-batch" "@name@: batch"
account "$resource-trigger" "@name@: calls the batch"

bucket "$input"
bucket "$output"
# Deleting inputs needs more than reading them.
role=roles/storage.objectViewer
[ "$input_action" = keep ] || role=roles/storage.objectUser
gcloud storage buckets add-iam-policy-binding "gs://$input" --member="serviceAccount:$batch" --role="$role"
gcloud storage buckets add-iam-policy-binding "gs://$output" --member="serviceAccount:$batch" \
  --role=roles/storage.objectUser

gcloud run services replace service.yaml --region="$region"
gcloud run services replace batch.yaml --region="$region"
gcloud run jobs replace job.yaml --region="$region"

# An upload, its event, the batch service.
agent="$(gcloud storage service-agent)"
gcloud projects add-iam-policy-binding "$project" --member="serviceAccount:$agent" \
  --role=roles/pubsub.publisher --condition=None >/dev/null
gcloud projects add-iam-policy-binding "$project" --member="serviceAccount:$trigger" \
  --role=roles/eventarc.eventReceiver --condition=None >/dev/null
gcloud run services add-iam-policy-binding "$resource-batch" --region="$region" \
  --member="serviceAccount:$trigger" --role=roles/run.invoker
there eventarc triggers describe "$resource-uploads" --location="$region" ||
  gcloud eventarc triggers create "$resource-uploads" --location="$region" \
    --destination-run-service="$resource-batch" --destination-run-region="$region" \
    --event-filters="type=google.cloud.storage.object.v1.finalized" \
    --event-filters="bucket=$input" --service-account="$trigger"

# What no event told of.
gcloud run jobs add-iam-policy-binding "$resource-sweep" --region="$region" \
  --member="serviceAccount:$trigger" --role=roles/run.invoker
verb=create
if there scheduler jobs describe "$resource-sweep" --location="$region"; then verb=update; fi
gcloud scheduler jobs "$verb" http "$resource-sweep" --location="$region" --schedule="*/15 * * * *" \
  --http-method=POST --oauth-service-account-email="$trigger" \
  --uri="https://run.googleapis.com/v2/projects/$project/locations/$region/jobs/$resource-sweep:run"

# Callers need roles/run.invoker on the service; nobody has it yet.
gcloud run services add-iam-policy-binding "$resource" --region="$region" \
  --member="${INVOKER:-serviceAccount:$online}" --role=roles/run.invoker
gcloud run services describe "$resource" --region="$region" --format="value(status.url)"
