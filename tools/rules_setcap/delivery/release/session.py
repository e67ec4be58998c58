"""The state that the steps of a release share."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from rules_setcap.delivery.errors import DeliveryError, InterruptedReleaseError
from rules_setcap.delivery.release.model import FAILED, ImagePlan

if TYPE_CHECKING:
    import concurrent.futures
    from collections.abc import Callable, Collection, Iterable, Mapping

    from rules_setcap.delivery.release.local_blobs import LocalBlobs
    from rules_setcap.delivery.release.model import ReleaseImage
    from rules_setcap.delivery.release.registry_access import RegistryAccess
    from rules_setcap.delivery.release.report import Reporter
    from rules_setcap.delivery.release.retries import Retries
    from rules_setcap.delivery.release.running_programs import RunningPrograms
    from rules_setcap.delivery.release.uploads import Uploader


@dataclass(frozen=True, slots=True)
class Session:
    """A release that runs.

    Attributes:
      registries: the registries by host.
      insecure_hosts: the hosts with which the connection may be insecure.
      programs: runs the user's client, hooks and Bazel.
      uploader: uploads by the user's client.
      blobs: the blobs on this machine.
      retries: retries what may pass.
      reporter: prints what happens.
      jobs: the number of images that are pushed or tagged at the same time.
      readers: runs requests to registries.
      writers: runs uploads, tags and hooks, `jobs` at the same time.
      plans: what becomes of each image.
    """

    registries: Mapping[str, RegistryAccess]
    insecure_hosts: Collection[str]
    programs: RunningPrograms
    uploader: Uploader
    blobs: LocalBlobs
    retries: Retries
    reporter: Reporter
    jobs: int
    readers: concurrent.futures.Executor
    writers: concurrent.futures.Executor
    plans: list[ImagePlan] = field(default_factory=list)

    def get_registry(self, image: ReleaseImage) -> RegistryAccess:
        """Returns the registry of an image."""
        return self.registries[image.host]

    def has_failed(self) -> bool:
        """Returns whether an image has failed."""
        return any(plan.status == FAILED for plan in self.plans)

    def attempt_all(
        self,
        phase: str,
        plans: Iterable[ImagePlan],
        operation: Callable[[ImagePlan], str],
        pool: concurrent.futures.Executor | None = None,
    ) -> None:
        """Runs an operation on images at the same time, as attempt() does.

        Args:
          phase: what it does, for the progress.
          plans: the images.
          operation: see attempt().
          pool: runs the operations; `writers` by default.
        """
        plans = list(plans)
        self.reporter.begin(phase, len(plans))
        for _ in (pool or self.writers).map(lambda plan: self.attempt(plan, operation), plans):
            pass

    def attempt(self, plan: ImagePlan, operation: Callable[[ImagePlan], str]) -> bool:
        """Runs an operation on an image. If it fails, the image gets the status FAILED.

        Args:
          plan: the image.
          operation: gets the image, and returns a line about it; "" for none.

        Returns:
          Whether it succeeded.

        Raises:
          InterruptedReleaseError: the release has been interrupted.
        """
        line = ""
        try:
            line = operation(plan)
        except InterruptedReleaseError:
            raise
        except DeliveryError as error:
            plan.fail(str(error))
        except OSError as error:
            plan.fail(f"{error.filename}: {error.strerror}" if error.filename else error.strerror or str(error))
        self.reporter.advance(line or (f"{FAILED} {plan.image.reference}" if plan.error else ""))
        return plan.status != FAILED

    def push(
        self, image: ReleaseImage, descriptor: Mapping[str, object], documents: Mapping[str, bytes], blobs: Mapping[str, str]
    ) -> None:
        """Pushes something to the repository of an image, by its digest.

        Args:
          image: the image.
          descriptor: the descriptor of what is pushed.
          documents: its manifests, configs and other small blobs by digest.
          blobs: the paths of other blobs that the registry lacks, by digest.

        Raises:
          DeliveryError: the client has not pushed it.
        """
        reference = f"{image.repository}@{descriptor['digest']}"
        insecure = image.host in self.insecure_hosts
        self.retries.call(image.host, lambda: self.uploader.push(reference, descriptor, documents, blobs, insecure=insecure))

    def move_tag(self, image: ReleaseImage, tag: str) -> None:
        """Gives an image a tag.

        Raises:
          DeliveryError: the client has not done it.
        """
        insecure = image.host in self.insecure_hosts
        self.retries.call(image.host, lambda: self.uploader.tag(image.repository, image.digest, tag, insecure=insecure))
