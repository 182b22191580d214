//! Turns errors into answers: an HTTP status and an [`ErrorBody`].

use super::{AdminError, message::ErrorBody};
use crate::config::Problems;
use axum::{
    Json,
    extract::rejection::{JsonRejection, PathRejection},
    http::StatusCode,
    response::{IntoResponse, Response},
};

/// An error answer.
#[derive(Debug)]
pub(super) struct FailureResponse {
    pub(super) code: StatusCode,
    pub(super) body: ErrorBody,
}

impl FailureResponse {
    pub(super) fn new(code: StatusCode, error: impl Into<String>) -> Self {
        Self { code, body: ErrorBody { error: error.into(), details: Vec::new() } }
    }
}

impl From<Problems> for FailureResponse {
    fn from(problems: Problems) -> Self {
        let count = problems.list.len();
        let error = format!("{} has {count} problem{}", problems.file, if count == 1 { "" } else { "s" });
        Self { code: StatusCode::UNPROCESSABLE_ENTITY, body: ErrorBody { error, details: problems.lines() } }
    }
}

impl From<AdminError> for FailureResponse {
    fn from(error: AdminError) -> Self {
        let code = match &error {
            AdminError::NotInCluster | AdminError::InCluster(_) | AdminError::Refused(_) | AdminError::Warned(_) => {
                StatusCode::CONFLICT
            }
            AdminError::NotStarted(_) => StatusCode::FAILED_DEPENDENCY,
            AdminError::Invalid(_) => StatusCode::UNPROCESSABLE_ENTITY,
            AdminError::Unconfirmed(_) => StatusCode::PRECONDITION_REQUIRED,
            AdminError::NoSeed(_) => StatusCode::BAD_GATEWAY,
            AdminError::NoQuorum(_) => StatusCode::SERVICE_UNAVAILABLE,
            AdminError::Timeout(_) => StatusCode::GATEWAY_TIMEOUT,
            AdminError::Internal(_) => StatusCode::INTERNAL_SERVER_ERROR,
        };
        let error_line = error.to_string();
        let details = match error {
            AdminError::NoSeed(each) | AdminError::Warned(each) => each,
            _ => Vec::new(),
        };
        Self { code, body: ErrorBody { error: error_line, details } }
    }
}

impl From<JsonRejection> for FailureResponse {
    fn from(rejection: JsonRejection) -> Self {
        let code = match rejection.status() {
            StatusCode::PAYLOAD_TOO_LARGE => StatusCode::PAYLOAD_TOO_LARGE,
            _ => StatusCode::BAD_REQUEST,
        };
        Self::new(code, rejection.body_text())
    }
}

impl From<PathRejection> for FailureResponse {
    fn from(rejection: PathRejection) -> Self {
        Self::new(StatusCode::BAD_REQUEST, rejection.body_text())
    }
}

impl IntoResponse for FailureResponse {
    fn into_response(self) -> Response {
        (self.code, Json(self.body)).into_response()
    }
}
