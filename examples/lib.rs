//! Short programs that embed the libraries; see the files beside this one.
