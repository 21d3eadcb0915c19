//! The rows of the table of variables.

use std::ops::RangeInclusive;

/// One variable: a row of the table.
#[derive(Clone, Debug)]
pub struct Variable {
    pub name: &'static str,
    /// Of a number; empty for text.
    pub unit: &'static str,
    pub default: Default,
    pub platforms: &'static [Platform],
    pub meaning: &'static str,
    /// Bounds of a number.
    pub range: RangeInclusive<u32>,
    /// Whether its value is kept out of messages.
    pub secret: bool,
}

/// What holds where a variable is not set.
#[derive(Clone, Copy, Debug)]
pub enum Default {
    /// This value.
    Value(&'static str),
    /// A value that is found in this way.
    Found(&'static str),
    Nothing,
}

/// Who reads a variable.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Platform {
    /// The command `ampoule`.
    Command,
    /// AWS Lambda.
    Lambda,
    /// Cloud Run, its functions and its jobs.
    Google,
    /// Azure Functions.
    Azure,
}

impl Platform {
    pub const ALL: &[Self] = &[Self::Command, Self::Lambda, Self::Google, Self::Azure];

    pub fn name(self) -> &'static str {
        match self {
            Self::Command => "command",
            Self::Lambda => "Lambda",
            Self::Google => "Google",
            Self::Azure => "Azure",
        }
    }
}

/// All but the command, which takes options instead.
const FUNCTIONS: &[Platform] = &[Platform::Lambda, Platform::Google, Platform::Azure];
const EVERYWHERE: &[Platform] = Platform::ALL;
const GOOGLE: &[Platform] = &[Platform::Google];
const AZURE: &[Platform] = &[Platform::Azure];
const SERVERS: &[Platform] = &[Platform::Google, Platform::Azure];
const CONTAINERS: &[Platform] = &[Platform::Command, Platform::Google];
const LAMBDA: &[Platform] = &[Platform::Lambda];

pub(crate) const LOG_LEVELS: [&str; 4] = ["error", "warn", "info", "debug"];

const fn text(
    name: &'static str,
    default: Default,
    platforms: &'static [Platform],
    meaning: &'static str,
) -> Variable {
    Variable { name, unit: "", default, platforms, meaning, range: 0..=0, secret: false }
}

const fn number(
    name: &'static str,
    unit: &'static str,
    default: &'static str,
    range: RangeInclusive<u32>,
    platforms: &'static [Platform],
    meaning: &'static str,
) -> Variable {
    Variable { name, unit, default: Default::Value(default), platforms, meaning, range, secret: false }
}

/// Declares the rows, each as a constant of its own name, and the table of all of them in this order.
macro_rules! variables {
    ($($name:ident = $make:ident($($rest:expr),* $(,)?);)*) => {
        $(pub const $name: Variable = $make(stringify!($name), $($rest),*);)*

        /// Every variable that is read, in the order of the documentation.
        pub const VARIABLES: &[Variable] = &[$($name),*];
    };
}

const fn secret(
    name: &'static str,
    default: Default,
    platforms: &'static [Platform],
    meaning: &'static str,
) -> Variable {
    Variable { secret: true, ..text(name, default, platforms, meaning) }
}

variables! {
    AMPOULE_MODEL = text(Default::Found("the only `.wasm` file beside the program, or in `LAMBDA_TASK_ROOT`"),
        FUNCTIONS, "The sealed file.");
    AMPOULE_CACHE = text(Default::Found("the folder `cache` beside the sealed file; the user's cache folder for the command"),
        EVERYWHERE, "The folder of precompiled code, as `ampoule package` fills it.");
    AMPOULE_LOG = text(Default::Value("info"), EVERYWHERE,
        "What is logged, as JSON lines on standard error: `error`, `warn`, `info` or `debug`.");
    INPUT_BUCKET_NAME = text(Default::Nothing, FUNCTIONS,
        "The bucket of inputs, which a schedule works through.");
    INPUT_PREFIX = text(Default::Nothing, FUNCTIONS, "Only inputs whose keys begin with it.");
    OUTPUT_BUCKET_NAME = text(Default::Nothing, FUNCTIONS, "The bucket of predictions.");
    OUTPUT_PREFIX = text(Default::Nothing, FUNCTIONS, "What the keys of predictions begin with.");
    DEAD_LETTER_PREFIX = text(Default::Value("_dead/"), FUNCTIONS,
        "What the keys of inputs that can't be predicted begin with in the output bucket.");
    INPUT_ACTION = text(Default::Value("keep"), FUNCTIONS,
        "What happens to an input once its prediction is safe: `keep`, `delete`, `tag` or `move`.");
    DONE_PREFIX = text(Default::Value("_done/"), FUNCTIONS,
        "What the keys of inputs begin with in their bucket after `move`.");
    AMPOULE_TOKEN = secret(Default::Nothing, EVERYWHERE,
        "Callers must send it as `Authorization: Bearer TOKEN`. Without it the platform decides who may ask.");
    AMPOULE_RESPONSE_MODE = text(Default::Value("buffered"), LAMBDA,
        "How HTTP answers leave: `buffered` (at most 6 MB), or `stream` for a function URL in the mode `RESPONSE_STREAM`.");
    AMPOULE_MARGIN_MS = number("ms", "1000", 0..=600_000, FUNCTIONS,
        "Work ends this long before the platform's own deadline.");
    AMPOULE_MAX_BODY_BYTES = number("bytes", "33554432", 1..=u32::MAX, FUNCTIONS, "A request's body as it comes.");
    AMPOULE_MAX_DECODED_BYTES = number("bytes", "67108864", 1..=u32::MAX, FUNCTIONS,
        "A request's body once it is decompressed.");
    AMPOULE_DEADLINE_MS = number("ms", "30000", 1..=u32::MAX, EVERYWHERE, "What a call may take.");
    AMPOULE_MEMORY_MIB = number("MiB", "512", 1..=4096, EVERYWHERE, "Memory that a sandbox may grow to.");
    AMPOULE_MAX_INPUT_BYTES = number("bytes", "67108864", 1..=u32::MAX, EVERYWHERE,
        "What a call hands to the model.");
    AMPOULE_MAX_OUTPUT_BYTES = number("bytes", "67108864", 1..=u32::MAX, EVERYWHERE,
        "What the model hands back.");
    AMPOULE_MAX_TENSOR_BYTES = number("bytes", "268435456", 1..=u32::MAX, EVERYWHERE,
        "All tensors that a call holds at one time.");
    AMPOULE_MAX_INSTANCES = number("instances", "100000", 1..=u32::MAX, EVERYWHERE, "Instances in one call.");
    AMPOULE_MAX_CONCURRENT_CALLS = number("calls", "16", 1..=1024, EVERYWHERE,
        "Calls that run at one time, and objects that are worked on at one time.");
    AMPOULE_MAX_QUEUED_CALLS = number("calls", "1024", 0..=u32::MAX, EVERYWHERE,
        "Calls that wait for a place; one more is refused at once.");
    AMPOULE_MAX_QUEUE_MS = number("ms", "1000", 0..=u32::MAX, EVERYWHERE, "How long a call waits for a place.");
    AMPOULE_REUSE = number("calls", "1", 1..=u32::MAX, FUNCTIONS,
        "Calls that one sandbox answers; with 1 nothing of one caller survives into the next.");
    PORT = number("", "8080", 0..=65_535, GOOGLE,
        "The port to listen on. Where a platform names none, the program answers its own machine only.");
    AMPOULE_TIMEOUT_S = number("s", "300", 1..=604_800, SERVERS,
        "The platform's own deadline: of a request (300 unless set), or of a job's task (600 unless set).");
    FUNCTION_TARGET = text(Default::Nothing, GOOGLE,
        "Functions Framework: the function's name. There is one function, so any name is its own.");
    FUNCTION_SIGNATURE_TYPE = text(Default::Value("http"), GOOGLE,
        "Functions Framework: with `http` requests, and events at `/`; with `event` or `cloudevent` events at every path.");
    CLOUD_RUN_TASK_INDEX = number("", "0", 0..=u32::MAX, GOOGLE,
        "A task of a job works through its share of the bucket and ends.");
    CLOUD_RUN_TASK_COUNT = number("tasks", "1", 1..=u32::MAX, GOOGLE, "The tasks that share the bucket.");
    FUNCTIONS_CUSTOMHANDLER_PORT = number("", "8080", 0..=65_535, AZURE,
        "The port of the loopback where the Functions host finds its custom handler.");
    AMPOULE_HTTP_BINDING = text(Default::Value("res"), AZURE,
        "The name that `function.json` gives to an HTTP trigger's answer.");
    AMPOULE_BLOB_BINDING = text(Default::Value("prediction"), AZURE,
        "The name that `function.json` gives to a blob trigger's output. Its `dataType` is left out.");
    AIP_HTTP_PORT = number("", "8080", 0..=65_535, CONTAINERS, "Vertex AI: the port to listen on.");
    AIP_HEALTH_ROUTE = text(Default::Nothing, CONTAINERS, "Vertex AI: a further path for health.");
    AIP_PREDICT_ROUTE = text(Default::Nothing, CONTAINERS, "Vertex AI: a further path for predictions.");
    SAGEMAKER_BIND_TO_PORT = number("", "8080", 0..=65_535, CONTAINERS, "SageMaker: the port to listen on.");
    SAGEMAKER_BATCH = text(Default::Nothing, CONTAINERS,
        "SageMaker: `true` in a batch transform, where a body of JSON may be instances, one on each line.");
    SAGEMAKER_BATCH_STRATEGY = text(Default::Found("`SINGLE_RECORD` for pictures, `MULTI_RECORD` for others"), CONTAINERS,
        "SageMaker: the records of one request, as `/execution-parameters` gives it back.");
    SAGEMAKER_MAX_CONCURRENT_TRANSFORMS = text(Default::Found("as many as calls run at one time and 100 MB hold"), CONTAINERS,
        "SageMaker: requests at one time, as `/execution-parameters` gives it back.");
    SAGEMAKER_MAX_PAYLOAD_IN_MB = text(Default::Found("6; what a body may have for pictures"), CONTAINERS,
        "SageMaker: megabytes of one request, as `/execution-parameters` gives it back; raises the limits of a body.");
    SAGEMAKER_DEFAULT_INVOCATIONS_ACCEPT = text(Default::Value("application/json"), CONTAINERS,
        "SageMaker: the form of answers at `/invocations` to callers who name none.");
}
