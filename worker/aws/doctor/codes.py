"""Every kind of fault that the doctor knows, by its stable name, and why it matters."""

from worker.aws.doctor.finding import Code

# The task definition by itself
MALFORMED = Code("malformed", "What cannot be read cannot be registered, nor checked.")
CONTAINER_NAMES = Code("container-names", "Overrides address the worker by its name: each start would fail.")
NOT_FARGATE = Code("not-fargate", "Started on Fargate, it is refused; elsewhere nobody has tried it.")
NO_PLATFORM = Code("no-platform", "An image runs on one processor: on another it ends with `exec format error`.")
SIZE_NOT_OFFERED = Code("size-not-offered", "Fargate refuses the definition, or the start that overrides it.")
MEMORY_ALL_TAKEN = Code("memory-all-taken", "The log driver's buffer has no room: the task is killed for its memory.")
ONE_ROLE = Code("one-role", "The worker would have ECS's right to read all secrets, or ECS the worker's to the data.")
MOVING_IMAGE = Code("moving-image", "A tag that moves starts another program than the one that was released.")
WORKER_NOT_ESSENTIAL = Code("worker-not-essential", "The task would go on, and cost, after the worker has ended.")
ESSENTIAL_SIDECAR = Code("essential-sidecar", "When it ends or is ill, ECS kills the run.")
DEPENDS_ON_NOBODY = Code("depends-on-nobody", "ECS refuses a definition that waits for a container that is not there.")
DEPENDS_ON_MISSING = Code("depends-on-missing", "It is stopped together with the worker, and its last words are lost.")
DEPENDS_ON_HEALTH = Code("depends-on-health", "An ill sidecar keeps the run from starting.")
STOP_TIMEOUT = Code(
    "stop-timeout", "ECS refuses more than 120 s, and gives 30 unasked: few to finish, commit and report."
)
STOP_TIMEOUT_UNTOLD = Code(
    "stop-timeout-untold", "The worker plans its stop by STOP_TIMEOUT: it is killed or gives up early."
)
WRITABLE_ROOT = Code("writable-root", "What gets in can stay, and what is written is lost with the task.")
NO_INIT = Code("no-init", "Nothing reaps child processes or passes SIGTERM on.")
PORT = Code("port", "ECS refuses what is no port; in awsvpc a container has the task's own, and no other on the host.")
SECRET_IN_PLAIN = Code(
    "secret-in-plain", "Whoever may read the definition, in the console or in git, reads the secret."
)
SECRET_WITHOUT_ARN = Code("secret-without-arn", "ECS finds no secret by it: each start fails.")
LOG_DRIVER = Code("log-driver", "What the container says is lost.")
LOG_MODE = Code("log-mode", "Unsaid it is non-blocking since June 2025, which drops lines in silence.")
LOG_BUFFER = Code("log-buffer", "Unasked it is too small for a burst, or larger than the task's memory.")
LOG_MODE_OF_ROUTER = Code("log-mode-of-router", "Fluent Bit knows no such option and does not start: no line arrives.")
NO_LOG_ROUTER = Code("no-log-router", "ECS refuses awsfirelens without its router.")
LOG_LINK = Code("log-link", "The summary links another log than the one that the router writes.")
LOG_ROUTER_GRACE = Code("log-router-grace", "Fluent Bit's own grace of 5 s loses the last lines.")
AGENT_NOT_FARGATE = Code("agent-not-fargate", "The agent looks for a host that is not there.")
AGENT_DROPS_LAST = Code("agent-drops-last", "The metrics of the last 10 s, the summary's among them, are lost.")
AGENT_CUT_OFF = Code("agent-cut-off", "It is killed while it sends what it has: the summary's metrics are lost.")
VARIABLE_WITHOUT_VALUE = Code("variable-without-value", "The definition cannot be registered without it.")

# The task definition and its job
NO_DEFINITION = Code("no-definition", "Nothing can start the job on ECS.")
NO_JOB = Code("no-job", "Whoever starts it gets exit 2, each time.")
NAME_DISAGREES = Code("name-disagrees", "Logs, metrics and alarms look for the job by its name, and find nothing.")
SECRET_NOT_GIVEN = Code("secret-not-given", "The job does not start without it: exit 2.")
VARIABLE_NOT_GIVEN = Code("variable-not-given", "The job does not start without it: exit 2.")
UNKNOWN_VARIABLE = Code("unknown-variable", "Nobody reads it: what it was to change stays as it was, in silence.")
SETTING_REFUSED = Code("setting-refused", "The worker does not start with it: exit 2.")
NO_RUN_STORE = Code("no-run-store", "Without a run store no attempt starts.")
NO_TRANSACTION = Code(
    "no-transaction", "What `write` writes goes with the page commit, which needs PostgreSQL: exit 2."
)
LOG_GROUP_ELSEWHERE = Code(
    "log-group-elsewhere", "The router may not write there, and the saved queries look elsewhere."
)
RECORD_OUTLIVES_STOP = Code(
    "record-outlives-stop",
    "A stop gives up records in flight that had all but finished, and their calls are made again.",
)

# The job by itself
BROKEN_JOB = Code("broken-job", "No run of it starts: exit 2.")
MISSING_TIMEOUT = Code(
    "missing-timeout", "A run that hangs holds up the starts after it for an hour, and nobody has thought about it."
)
TIMEOUT_OVER_INTERVAL = Code("timeout-over-interval", "One run that hangs lets many starts end as `overlapped`.")
RECORD_OUTLIVES_RUN = Code("record-outlives-run", "One slow record uses up the whole attempt.")
RETRIES_OUTLIVE_RUN = Code("retries-outlive-run", "The last tries of a record never happen: the deadline comes first.")
PAGE_OUTLIVES_AGE = Code(
    "page-outlives-age",
    "The end of a page is too old when its turn comes, and would be read twice: the worker reads smaller ones.",
)
TOLERATES_ALL = Code("tolerates-all", "A run whose every record failed is a success: no alarm rings.")
NO_ERROR_BUDGET = Code("no-error-budget", "With the provider down it goes through the whole table, and fails it.")
SECRET_IN_JOB = Code("secret-in-job", "Whoever may read the repository reads the secret.")
DST_HAZARD = Code(
    "dst-hazard",
    "The night the clocks change, a local time does not exist (no run) or comes twice (one run for two hours).",
)
NEVER_DUE = Code("never-due", "No run ever starts, in silence.")

# The stacks
RETRY_AGE_OVER_INTERVAL = Code(
    "retry-age-over-interval", "Starts that could not be made pile up, and come all at once."
)
NO_RETRY_AGE = Code("no-retry-age", "Unsaid it is 24 h: a start of last night comes in the middle of the day.")
NO_DEAD_LETTERS = Code("no-dead-letters", "A start or an event that could not be delivered is dropped in silence.")
SCHEDULE_REFUSED = Code(
    "schedule-refused", "EventBridge takes no such schedule: the release fails half-way, though cfn-lint said nothing."
)
SCHEDULE_DISAGREES = Code("schedule-disagrees", "It runs at other times than its author and the auditor expect.")
RUN_KEY_NOT_GIVEN = Code(
    "run-key-not-given",
    "A schedule fires twice now and then: without the scheduled time as run key the work is done twice.",
)
OVERRIDE_TOO_LARGE = Code("override-too-large", "RunTask takes 8,192 characters of overrides: each start fails.")
OVERRIDE_FOR_NOBODY = Code(
    "override-for-nobody", "RunTask refuses an override for a container that is not there: each start fails."
)
WILDCARD_ACTION = Code("wildcard-action", "A role may do more than anybody has thought of.")
OPEN_TRUST = Code("open-trust", "Whoever has any AWS account may take the role, or read, fill or use what is there.")
ALARM_TELLS_NOBODY = Code("alarm-tells-nobody", "It rings in a console that nobody looks at in the night.")
WILDCARD_RESOURCE = Code("wildcard-resource", "A mistake in one job reaches everybody's data.")
BLIND_RULE = Code(
    "blind-rule", "A container that never ran has no exit code: a task that could not start would go unnoticed."
)
LOGS_FOR_EVER = Code("logs-for-ever", "They are kept, and paid for, without end.")
SILENCE_IS_SUCCESS = Code("silence-is-success", "A job that no longer starts emits nothing: the alarm stays green.")
ALARM_TOO_EAGER = Code("alarm-too-eager", "It rings between two runs, every time, until nobody listens.")
PUBLIC_ADDRESS = Code("public-address", "The task can be reached from the internet.")
WAITS_FOR_EVER = Code("waits-for-ever", "A task whose end is not heard of is waited for for a year.")
FUNCTION_TIMEOUT = Code("function-timeout", "Lambda gives it 3 s unasked: it is cut off in the middle.")
EVENT_LOST = Code("event-lost", "An event that a function fails on is tried twice more, then dropped in silence.")

# The run store
RUN_STORE = Code("run-store", "No run starts, or goes on, without it.")
CURSOR_MISFITS = Code("cursor-misfits", "The run cannot go on: started again, it is refused with exit 2.")

ALL = {code.name: code for code in tuple(globals().values()) if isinstance(code, Code)}
"""By name."""
