"""What stands under the fields of the forms, for somebody who meets them for the first time."""

from django.utils.translation import gettext_lazy as _

QUEUE = {
    "name": _("As supervisors and agents see it, such as Support."),
    "slug": _("Its short name in the API and in addresses: small letters, digits and hyphens."),
    "strategy": _(
        "Which free agent is offered the next call. Longest idle is fair to all; in order of the "
        "members always tries the first one first."
    ),
    "ring_timeout": _(
        "Seconds for which an agent's phone rings before the caller goes to the next agent."
    ),
    "wrap_up_seconds": _(
        "Seconds after a call in which the agent gets no other, for writing up. 0: none."
    ),
    "service_level_seconds": _(
        "A caller who is answered within so many seconds was answered in time; 20 is usual."
    ),
    "short_abandon_seconds": _(
        "Who hangs up within so many seconds counts as misdialled, not as a caller who was lost."
    ),
    "max_wait_seconds": _(
        "After so many seconds of waiting the call is ended. 600 is ten minutes."
    ),
    "when_empty": _("What a caller meets while no agent of the queue is signed in."),
    "language": _("In which the texts are spoken, such as en-KE or sw-KE."),
    "keep_recordings_days": _("Days after which a fetched recording is removed."),
}
NUMBER = {
    "e164": _("A number of your Sautikit account that leads here, such as +254200000100."),
}
MEMBER = {
    "agent": _("Who takes calls of this queue. Set agents up first."),
    "queue": _("A queue whose calls this agent takes."),
}
MENU = {
    "slug": _("Its short name in the API: small letters, digits and hyphens."),
    "name": _("As supervisors see it, such as Main menu."),
    "language": _("In which the question is spoken, such as en-KE or sw-KE."),
    "tries": _("How often the question is put before the menu gives up."),
    "on_failure": _("Where a caller goes who has pressed no key, or wrong ones only."),
}
OPTION = {
    "digit": _("The key: 0 to 9 or *."),
    "label": _("What the key stands for, as it is spoken: sales."),
    "queue": _("Where the key leads: a queue …"),
    "submenu": _("… or another menu."),
}
DISPOSITION = {
    "label": _("As agents see it: Order placed."),
    "is_active": _("Off: agents are not offered it any more; calls that have it keep it."),
}
RULE = {
    "kind": _("What has to happen."),
    "is_active": _("Off: the rule rests."),
}
