//! A line of the administrators' socket, from either side: what can be read is written as something that says the same.

use fasp_server::admin::{AdminAnswer, AdminRequest};
use fasp_server::testing::{read_answer, read_request, written_answer, written_request};

pub(crate) fn check(bytes: &[u8]) {
    if let Some(request) = read_request(bytes) {
        check_request(&request);
    }
    if let Some(answer) = read_answer(bytes) {
        check_answer(&answer);
    }
}

fn check_request(request: &AdminRequest) {
    let line = written_request(request);
    assert_eq!(line.iter().position(|b| *b == b'\n'), Some(line.len() - 1));
    assert_eq!(read_request(&line).as_ref(), Some(request));
}

fn check_answer(answer: &AdminAnswer) {
    let line = written_answer(answer);
    assert_eq!(line.iter().position(|b| *b == b'\n'), Some(line.len() - 1));
    // Fractions may lose their last digit on the way.
    let again = read_answer(&line).expect("what we write can be read");
    let kind = std::mem::discriminant;
    assert_eq!(kind(&again), kind(answer));
    if !matches!(answer, AdminAnswer::Status(_)) {
        assert_eq!(&again, answer);
    }
}
