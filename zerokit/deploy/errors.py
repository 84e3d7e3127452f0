"""What can go wrong between a folder and a Space that runs.

DeployError
├── FolderError             the folder cannot be a Space
│   ├── SecretFound         a token or a key is written in one of its files
│   └── DoctorObjects       `zerokit doctor` finds errors in it
├── NotSignedIn             there is no token, or the Hub does not take it
├── NotAllowed              the token or the account may not do it
│   └── PlanTooSmall        the plan does not host this hardware, or no more of it
├── SpaceNotFound           there is no such Space, or the token cannot see it
├── SpaceGated              its owner grants access one by one
├── SpaceTaken              something else is there under that name
├── SpaceChanged            somebody else changed it meanwhile
├── HubRefused              the Hub does not accept what was sent
├── HubBusy                 too many requests
├── HubUnavailable          the Hub answers with an error of its own
├── HubUnreachable          the Hub does not answer
└── SpaceFailed             the files are there, the Space does not run
    ├── BuildFailed         its requirements or image
    ├── ConfigFailed        its card
    ├── AppMissing          no app file
    ├── AppFailed           the app ended with an error
    ├── SpacePaused         its owner or the Hub has paused it
    ├── StillBuilding       it takes longer than was waited for
    └── SmokeFailed         it runs, but its answer is an error
"""

from __future__ import annotations

from zerokit.errors import ZeroKitError


class DeployError(ZeroKitError):
    title = "The Space was not deployed"
    advice = "Run the same command again: what is done already is not done twice."


class FolderError(DeployError):
    title = "The folder cannot be a Space"
    advice = ""


class SecretFound(FolderError):
    title = "A secret is in the files"
    advice = (
        "Nothing was uploaded. Take it out and read it from the environment, with its value in a file for --secrets; "
        "or name the file in .gitignore. A secret that was public once must be made anew."
    )


class DoctorObjects(FolderError):
    title = "The doctor finds errors"
    advice = "Nothing was uploaded. Mend them, or deploy all the same with --force."


class NotSignedIn(DeployError):
    title = "You are not signed in to the Hub"
    advice = "Make a token that may write on https://huggingface.co/settings/tokens, then run: hf auth login"


class NotAllowed(DeployError):
    title = "You may not do this"
    advice = "Use a token that may write there, or deploy under a name of your own."


class PlanTooSmall(NotAllowed):
    title = "Your plan does not host this"
    advice = "Choose other hardware with --hardware, or see https://huggingface.co/pricing."


class SpaceNotFound(DeployError):
    title = "No such Space"
    advice = "Check the spelling; a private Space needs a token that can see it."


class SpaceGated(DeployError):
    title = "The Space is gated"
    advice = "Ask for access on its page."


class SpaceTaken(DeployError):
    title = "The name is taken"
    advice = "Choose another with --space, or name that one if it is meant."


class SpaceChanged(DeployError):
    title = "The Space was changed meanwhile"
    advice = "Look at what was changed on its page, then run the same command again."


class HubRefused(DeployError):
    title = "The Hub does not accept this"
    advice = "Change what it names, and run the same command again."


class HubBusy(DeployError):
    title = "Too many requests"
    advice = "Wait that long, then run the same command again: it goes on where it stopped."


class HubUnavailable(DeployError):
    title = "The Hub has a problem"
    advice = "See https://status.huggingface.co, and run the same command again later: it goes on where it stopped."


class HubUnreachable(DeployError):
    title = "The Hub cannot be reached"
    advice = "Check the connection and HF_ENDPOINT, then run the same command again: it goes on where it stopped."


class SpaceFailed(DeployError):
    title = "The Space does not run"
    advice = "Its page on the Hub has the whole log."


class BuildFailed(SpaceFailed):
    title = "The Space could not be built"
    advice = "Mend what the log names, mostly requirements.txt, and run the same command again."


class ConfigFailed(SpaceFailed):
    title = "The Space's card is wrong"
    advice = "Mend the block at the top of README.md, and run the same command again."


class AppMissing(SpaceFailed):
    title = "The Space has no app"
    advice = "Its folder needs app.py, or the file that README.md names as app_file."


class AppFailed(SpaceFailed):
    title = "The app ended with an error"
    advice = "Mend what its log says and run the same command again; zerokit dev runs it here as on ZeroGPU."


class SpacePaused(SpaceFailed):
    title = "The Space is paused"
    advice = "The files are up to date. Restart it on its settings page."


class StillBuilding(SpaceFailed):
    title = "The Space does not run yet"
    advice = "Look again with zerokit status, or give it longer with --timeout."


class SmokeFailed(SpaceFailed):
    title = "The Space runs, but its answer is an error"
    advice = "The files are up to date. See its log with zerokit status; --no-smoke leaves this call out."
