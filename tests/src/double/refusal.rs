//! Why the double refuses a request, and how either cloud says so.

/// A reason, whatever the protocol.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refusal {
    NoSuchBucket,
    NoSuchKey,
    NoSuchUpload,
    /// A condition of the request doesn't hold.
    PreconditionFailed,
    /// Another request for the same key is under way; nothing was done.
    Conflict,
    /// Seconds to wait, where the store says so.
    SlowDown(Option<u32>),
    TooManyRequests,
    Timeout,
    Internal,
    ExpiredToken,
    ClockSkew,
    ReadOnly,
    Full,
    Elsewhere,
    InvalidToken,
    /// The body isn't what its checksum says.
    BadDigest,
    KeyTooLong,
    InvalidRange,
    /// With S3's code for it.
    Named(&'static str, String),
    Invalid(String),
    NotImplemented(String),
}

impl Refusal {
    /// Status, code and message as S3 gives them.
    pub fn s3(&self) -> (u16, &'static str, String) {
        let (status, code, message) = match self {
            Self::NoSuchBucket => (404, "NoSuchBucket", "The specified bucket does not exist"),
            Self::NoSuchKey => (404, "NoSuchKey", "The specified key does not exist."),
            Self::NoSuchUpload => (404, "NoSuchUpload", "The specified upload does not exist."),
            Self::PreconditionFailed => {
                (412, "PreconditionFailed", "At least one of the pre-conditions you specified did not hold")
            }
            Self::Conflict => (
                409,
                "ConditionalRequestConflict",
                "The conditional request cannot succeed due to a conflicting operation against this resource.",
            ),
            Self::SlowDown(_) => (503, "SlowDown", "Please reduce your request rate."),
            Self::TooManyRequests => (429, "TooManyRequests", "Too many requests."),
            Self::Timeout => (408, "RequestTimeout", "Your socket connection was not read from in time."),
            Self::Internal => (500, "InternalError", "We encountered an internal error. Please try again."),
            Self::ExpiredToken => (400, "ExpiredToken", "The provided token has expired."),
            Self::ClockSkew => (
                403,
                "RequestTimeTooSkewed",
                "The difference between the request time and the current time is too large.",
            ),
            Self::ReadOnly => (403, "AccessDenied", "Access Denied"),
            Self::Full => (507, "InsufficientStorage", "There is no space left."),
            Self::Elsewhere => (
                301,
                "PermanentRedirect",
                "The bucket you are attempting to access must be addressed using the specified endpoint.",
            ),
            Self::InvalidToken => (400, "InvalidArgument", "The continuation token provided is incorrect"),
            Self::BadDigest => {
                (400, "BadDigest", "The checksum you specified did not match what we received.")
            }
            Self::KeyTooLong => (400, "KeyTooLongError", "Your key is too long"),
            Self::InvalidRange => (416, "InvalidRange", "The requested range is not satisfiable"),
            Self::Named(code, why) => return (400, code, why.clone()),
            Self::Invalid(why) => return (400, "InvalidRequest", why.clone()),
            Self::NotImplemented(what) => return (501, "NotImplemented", what.clone()),
        };
        (status, code, message.to_owned())
    }

    /// Status of HTTP, code of gRPC and message as Cloud Storage gives them.
    ///
    /// <https://cloud.google.com/storage/docs/json_api/v1/status-codes>
    pub fn gcs(&self) -> (u16, u8, String) {
        let (status, code, message) = match self {
            Self::NoSuchBucket => (404, NOT_FOUND, "The specified bucket does not exist."),
            Self::NoSuchKey => (404, NOT_FOUND, "No such object."),
            Self::NoSuchUpload => (404, NOT_FOUND, "No such upload."),
            Self::PreconditionFailed => {
                (412, FAILED_PRECONDITION, "At least one of the pre-conditions you specified did not hold.")
            }
            Self::Conflict => (409, ABORTED, "The request conflicts with another."),
            Self::SlowDown(_) => (503, UNAVAILABLE, "We encountered an internal error. Please try again."),
            Self::TooManyRequests => (
                429,
                RESOURCE_EXHAUSTED,
                "The object exceeded the rate limit for object mutation operations.",
            ),
            Self::Timeout => (408, DEADLINE_EXCEEDED, "The request timed out."),
            Self::Internal => (500, INTERNAL, "We encountered an internal error. Please try again."),
            Self::ExpiredToken => (401, UNAUTHENTICATED, "Invalid Credentials"),
            Self::ClockSkew => (401, UNAUTHENTICATED, "The token was issued at another time."),
            Self::ReadOnly => (403, PERMISSION_DENIED, "Permission denied on resource."),
            Self::Full => (507, RESOURCE_EXHAUSTED, "There is no space left."),
            Self::Elsewhere => (301, INVALID_ARGUMENT, "The bucket lies elsewhere."),
            Self::InvalidToken => (400, INVALID_ARGUMENT, "Invalid page token"),
            Self::BadDigest => {
                (400, INVALID_ARGUMENT, "The provided checksum doesn't match the calculated one.")
            }
            Self::KeyTooLong => (400, INVALID_ARGUMENT, "The object name is longer than 1024 bytes."),
            Self::InvalidRange => (416, OUT_OF_RANGE, "The requested range cannot be satisfied."),
            Self::Named(_, why) | Self::Invalid(why) => return (400, INVALID_ARGUMENT, why.clone()),
            Self::NotImplemented(what) => return (501, UNIMPLEMENTED, what.clone()),
        };
        (status, code, message.to_owned())
    }
}

/// Codes of <https://grpc.io/docs/guides/status-codes/>.
const INVALID_ARGUMENT: u8 = 3;
const DEADLINE_EXCEEDED: u8 = 4;
const NOT_FOUND: u8 = 5;
const PERMISSION_DENIED: u8 = 7;
const RESOURCE_EXHAUSTED: u8 = 8;
const FAILED_PRECONDITION: u8 = 9;
const ABORTED: u8 = 10;
const OUT_OF_RANGE: u8 = 11;
const UNIMPLEMENTED: u8 = 12;
const INTERNAL: u8 = 13;
const UNAVAILABLE: u8 = 14;
const UNAUTHENTICATED: u8 = 16;
